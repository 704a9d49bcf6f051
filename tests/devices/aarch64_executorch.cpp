// Runs a .pte without Python: PROGRAM MODEL < ROWS. Each line of ROWS is a method, a length, and as many int32
// for each of its inputs as it is long; each line of what is printed has the first output of one.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cstdint>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

using executorch::extension::Module;
using executorch::extension::from_blob;

int main(int, char** arguments) {
  Module module(arguments[1]);
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string method;
    int length = 0;
    words >> method >> length;
    const auto meta = module.method_meta(method);
    if (!meta.ok()) return static_cast<int>(meta.error());
    std::vector<std::vector<int32_t>> values(meta->num_inputs(), std::vector<int32_t>(length));
    std::vector<executorch::extension::TensorPtr> tensors;
    std::vector<executorch::runtime::EValue> inputs;
    for (auto& row : values) {
      for (auto& value : row) words >> value;
      tensors.push_back(from_blob(row.data(), {1, length}, executorch::aten::ScalarType::Int));
      inputs.emplace_back(*tensors.back());
    }
    const auto outputs = module.execute(method, inputs);
    if (!outputs.ok()) return static_cast<int>(outputs.error());
    const auto tensor = outputs->at(0).toTensor();
    for (ssize_t i = 0; i < tensor.numel(); ++i) std::printf("%.9g ", tensor.const_data_ptr<float>()[i]);
    std::printf("\n");
  }
}
