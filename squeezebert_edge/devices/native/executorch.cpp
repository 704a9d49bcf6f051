// A .pte, by ExecuTorch's Module.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/backend/options.h>

#include "runtime.h"

// The wheel has these in libexecutorch_threadpool.so, and no header of theirs.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace {

using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::runtime::Error;
using executorch::runtime::EValue;

void Check(Error error, const std::string& what) {
  if (error != Error::Ok) {
    throw std::runtime_error(what + ": ExecuTorch error " + std::to_string(static_cast<int>(error)));
  }
}

class ExecuTorchQuery : public Query {
 public:
  ExecuTorchQuery(Module* module, std::string method, const Inputs& inputs)
      : module_(module), method_(std::move(method)), inputs_(inputs) {
    for (auto& values : inputs_) {
      tensors_.push_back(executorch::extension::from_blob(
          values.data(), {1, static_cast<executorch::aten::SizesType>(values.size())},
          executorch::aten::ScalarType::Int));
      arguments_.emplace_back(*tensors_.back());
    }
  }

  void Run() override {
    auto found = module_->execute(method_, arguments_);
    Check(found.error(), method_);
    found_ = std::move(found.get());
  }

  std::vector<Output> Outputs() override {
    std::vector<Output> outputs;
    for (const auto& value : found_) {
      const auto& tensor = value.toTensor();
      const float* data = tensor.const_data_ptr<float>();
      outputs.push_back({{tensor.sizes().begin(), tensor.sizes().end()}, {data, data + tensor.numel()}});
    }
    return outputs;
  }

 private:
  Module* module_;
  std::string method_;
  Inputs inputs_;
  std::vector<TensorPtr> tensors_;
  std::vector<EValue> arguments_;
  std::vector<EValue> found_;
};

class ExecuTorchModel : public Model {
 public:
  ExecuTorchModel(const std::string& path, int threads) : module_(path, Module::LoadMode::Mmap) {
    executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(threads);
    // Packs weights once for all methods, not once for each; ExecuTorch's builds for Android and iOS do by default.
    executorch::runtime::BackendOptions<1> options;
    Check(options.set_option("weight_cache_enabled", true), "the weight cache");
    Check(executorch::runtime::set_option("XnnpackBackend", options.view()), "the weight cache");
    Check(module_.load(), path);
  }

  // Inputs and outputs of a .pte have no names: both are in the order of the manifest.
  std::unique_ptr<Query> Prepare(const std::string& entry_point, const Inputs& inputs,
                                 const std::vector<std::string>&, const std::vector<std::string>&) override {
    return std::make_unique<ExecuTorchQuery>(&module_, entry_point, inputs);
  }

 private:
  Module module_;
};

}  // namespace

std::unique_ptr<Model> Open(const std::string& path, int threads, bool float16) {
  if (float16) throw std::runtime_error("ExecuTorch computes in the file's own types alone");
  return std::make_unique<ExecuTorchModel>(path, threads);
}
