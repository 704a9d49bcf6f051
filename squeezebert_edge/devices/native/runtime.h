// What runner.cpp asks of a runtime: executorch.cpp and litert.cpp each define Open.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

struct Output {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

using Inputs = std::vector<std::vector<int32_t>>;  // in the order of the job's names, each (1, length)

// The outputs of one row, again and again.
class Query {
 public:
  virtual ~Query() = default;
  virtual void Run() = 0;
  virtual std::vector<Output> Outputs() = 0;  // of the last Run, in the order of the job's names
};

class Model {
 public:
  virtual ~Model() = default;
  virtual std::unique_ptr<Query> Prepare(const std::string& entry_point, const Inputs& inputs,
                                         const std::vector<std::string>& input_names,
                                         const std::vector<std::string>& output_names) = 0;
};

// Errors are std::runtime_error, here and above.
// float16: whether to compute in it what the file has in float32.
std::unique_ptr<Model> Open(const std::string& path, int threads, bool float16);
