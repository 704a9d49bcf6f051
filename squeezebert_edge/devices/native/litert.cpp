// A .tflite, by the C API of libLiteRt.so.
#include <cstdlib>
#include <cstring>

#include "runtime.h"

// The wheel has the library and no headers. These are the parts that are called, of litert/c of release 2.x
// (https://github.com/google-ai-edge/LiteRT); handles are opaque.
extern "C" {
struct Handle;
using Status = int;  // 0: done
struct Layout {
  unsigned rank : 7;
  bool has_strides : 1;
  int32_t dimensions[8];
  uint32_t strides[8];
};
struct RankedTensorType {
  int element_type;
  Layout layout;
};
constexpr int kInt32 = 2, kFloat32 = 1;  // element types
constexpr int kCpu = 1;                  // accelerators
constexpr size_t kAlignment = 64;        // of host memory, in bytes
constexpr int kFloat16Flags = 1 | 2 | 4;  // of XNNPACK: its default ones for 8 bits, and FORCE_FP16

Status LiteRtCreateEnvironment(int options, const void* values, Handle** environment);
Status LiteRtCreateModelFromFile(Handle* environment, const char* path, Handle** model);
Status LiteRtCreateOptions(Handle** options);
Status LiteRtSetOptionsHardwareAccelerators(Handle* options, int accelerators);
Status LiteRtCreateOpaqueOptions(const char* identifier, void* payload, void (*destroy)(void*), Handle** opaque);
Status LiteRtAddOpaqueOptions(Handle* options, Handle* opaque);
Status LiteRtCreateCompiledModel(Handle* environment, Handle* model, Handle* options, Handle** compiled);
Status LiteRtGetNumModelSignatures(Handle* model, size_t* count);
Status LiteRtGetModelSignature(Handle* model, size_t index, Handle** signature);
Status LiteRtGetSignatureKey(Handle* signature, const char** key);
Status LiteRtGetNumSignatureInputs(Handle* signature, size_t* count);
Status LiteRtGetSignatureInputName(Handle* signature, size_t index, const char** name);
Status LiteRtGetSignatureInputTensor(Handle* signature, const char* name, Handle** tensor);
Status LiteRtGetNumSignatureOutputs(Handle* signature, size_t* count);
Status LiteRtGetSignatureOutputName(Handle* signature, size_t index, const char** name);
Status LiteRtGetSignatureOutputTensor(Handle* signature, const char* name, Handle** tensor);
Status LiteRtGetRankedTensorType(Handle* tensor, RankedTensorType* type);
Status LiteRtCreateTensorBufferFromHostMemory(const RankedTensorType* type, void* memory, size_t size,
                                              void (*destroy)(void*), Handle** buffer);
void LiteRtDestroyTensorBuffer(Handle* buffer);
Status LiteRtRunCompiledModel(Handle* compiled, size_t signature, size_t inputs, Handle** input_buffers,
                              size_t outputs, Handle** output_buffers);
}
static_assert(sizeof(RankedTensorType) == 72, "LiteRtRankedTensorType has another size");

namespace {

void Check(Status status, const std::string& what) {
  if (status != 0) throw std::runtime_error(what + ": LiteRT status " + std::to_string(status));
}

// A tensor in memory of ours, at least as large as it has to be.
struct Tensor {
  RankedTensorType type{};
  size_t values = 1;
  void* memory = nullptr;
  Handle* buffer = nullptr;

  explicit Tensor(Handle* tensor) {
    Check(LiteRtGetRankedTensorType(tensor, &type), "a tensor's type");
    for (unsigned axis = 0; axis < type.layout.rank; axis++) values *= type.layout.dimensions[axis];
    const size_t size = values * 4;  // int32 and float32 alike
    memory = std::aligned_alloc(kAlignment, (size + kAlignment - 1) / kAlignment * kAlignment);
    if (memory == nullptr) throw std::runtime_error("no memory for a tensor");
    Check(LiteRtCreateTensorBufferFromHostMemory(&type, memory, size, nullptr, &buffer), "a tensor's buffer");
  }
  ~Tensor() {
    LiteRtDestroyTensorBuffer(buffer);
    std::free(memory);
  }
};

class LiteRtQuery : public Query {
 public:
  LiteRtQuery(Handle* compiled, Handle* model, const std::string& key, const Inputs& inputs,
              const std::vector<std::string>& input_names, const std::vector<std::string>& output_names)
      : compiled_(compiled) {
    Handle* signature = Find(model, key);
    size_t count = 0;
    Check(LiteRtGetNumSignatureInputs(signature, &count), key);
    for (size_t index = 0; index < count; index++) {
      const char* name = nullptr;
      Check(LiteRtGetSignatureInputName(signature, index, &name), key);
      Add(signature, name, LiteRtGetSignatureInputTensor, kInt32, &inputs_, &input_buffers_);
      const auto& values = inputs.at(At(input_names, name));
      if (inputs_.back()->values != values.size()) throw std::runtime_error(key + " has another length");
      std::memcpy(inputs_.back()->memory, values.data(), values.size() * sizeof(int32_t));
    }
    Check(LiteRtGetNumSignatureOutputs(signature, &count), key);
    order_.resize(output_names.size());
    for (size_t index = 0; index < count; index++) {
      const char* name = nullptr;
      Check(LiteRtGetSignatureOutputName(signature, index, &name), key);
      Add(signature, name, LiteRtGetSignatureOutputTensor, kFloat32, &outputs_, &output_buffers_);
      order_.at(At(output_names, name)) = index;
    }
  }

  void Run() override {
    Check(LiteRtRunCompiledModel(compiled_, index_, input_buffers_.size(), input_buffers_.data(),
                                 output_buffers_.size(), output_buffers_.data()),
          "a run");
  }

  std::vector<Output> Outputs() override {
    std::vector<Output> found;
    for (size_t index : order_) {
      const Tensor& tensor = *outputs_[index];
      const auto* data = static_cast<const float*>(tensor.memory);
      const auto& layout = tensor.type.layout;
      found.push_back({{layout.dimensions, layout.dimensions + layout.rank}, {data, data + tensor.values}});
    }
    return found;
  }

 private:
  using Getter = Status (*)(Handle*, const char*, Handle**);

  Handle* Find(Handle* model, const std::string& key) {
    size_t count = 0;
    Check(LiteRtGetNumModelSignatures(model, &count), "signatures");
    for (index_ = 0; index_ < count; index_++) {
      Handle* signature = nullptr;
      const char* found = nullptr;
      Check(LiteRtGetModelSignature(model, index_, &signature), "a signature");
      Check(LiteRtGetSignatureKey(signature, &found), "a signature's key");
      if (key == found) return signature;
    }
    throw std::runtime_error("no signature " + key);
  }

  static size_t At(const std::vector<std::string>& names, const std::string& name) {
    for (size_t index = 0; index < names.size(); index++) {
      if (names[index] == name) return index;
    }
    throw std::runtime_error("the manifest has no " + name);
  }

  static void Add(Handle* signature, const char* name, Getter get, int element_type,
                  std::vector<std::unique_ptr<Tensor>>* tensors, std::vector<Handle*>* buffers) {
    Handle* tensor = nullptr;
    Check(get(signature, name, &tensor), name);
    tensors->push_back(std::make_unique<Tensor>(tensor));
    if (tensors->back()->type.element_type != element_type) {
      throw std::runtime_error(std::string(name) + " has another element type");
    }
    buffers->push_back(tensors->back()->buffer);
  }

  Handle* compiled_;
  size_t index_ = 0;
  std::vector<std::unique_ptr<Tensor>> inputs_, outputs_;
  std::vector<Handle*> input_buffers_, output_buffers_;
  std::vector<size_t> order_;  // of the job's outputs, in the signature
};

class LiteRtModel : public Model {
 public:
  LiteRtModel(const std::string& path, int threads, bool float16) {
    Handle* environment = nullptr;
    Handle* options = nullptr;
    Handle* opaque = nullptr;
    Check(LiteRtCreateEnvironment(0, nullptr, &environment), "the environment");
    Check(LiteRtCreateModelFromFile(environment, path.c_str(), &model_), path);
    Check(LiteRtCreateOptions(&options), "options");
    Check(LiteRtSetOptionsHardwareAccelerators(options, kCpu), "options");
    // What LiteRT's own CPU options become: TOML, known by this name (litert/c/options/litert_cpu_options.cc).
    // The cache in memory packs weights once for all signatures, not once for each; over weights that are rounded
    // to float16 for it, it ends the process.
    const std::string how =
        float16 ? "flags = " + std::to_string(kFloat16Flags) : "weight_cache_file_path = \":memory\"";
    const std::string payload = "num_threads = " + std::to_string(threads) + "\n" + how + "\n";
    Check(LiteRtCreateOpaqueOptions("xnnpack", strdup(payload.c_str()), std::free, &opaque), "options");
    Check(LiteRtAddOpaqueOptions(options, opaque), "options");
    Check(LiteRtCreateCompiledModel(environment, model_, options, &compiled_), path);
  }

  std::unique_ptr<Query> Prepare(const std::string& entry_point, const Inputs& inputs,
                                 const std::vector<std::string>& input_names,
                                 const std::vector<std::string>& output_names) override {
    return std::make_unique<LiteRtQuery>(compiled_, model_, entry_point, inputs, input_names, output_names);
  }

 private:
  Handle* model_ = nullptr;  // it and what it needs live as long as the process
  Handle* compiled_ = nullptr;
};

}  // namespace

std::unique_ptr<Model> Open(const std::string& path, int threads, bool float16) {
  return std::make_unique<LiteRtModel>(path, threads, float16);
}
