// konv: run convolutional networks. The C++ interface of libkonv; konv.h is the same in C.
//
//   const konv::Model model = konv::Model::load("resnet20.konv");
//   konv::Session session(model);
//   std::vector<float> input(3 * 32 * 32);
//   model.preprocess(rgb, 32, 32, input.data());                  // 8-bit pixels to the input tensor
//   session.run({{.name = "input", .shape = {1, 3, 32, 32}, .data = input.data()}});
//   std::span<const float> logits = session.output(0).values<float>();
//
// Errors that the caller, a file or a machine can cause are thrown as konv::Error, one line each. The library never prints, exits or aborts, and changes no
// process-wide setting. Models are immutable and may be shared by threads; a Session belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <konv/export.h>
#include <konv/error.hpp>

namespace konv {

/// The version of the library, "0.1.0".
KONV_API const char* version();

/// Element types, numbered as in model files.
enum class Type : std::uint8_t {
  float32,
  float64,
  float16,
  bfloat16,
  int64,
  int32,
  int16,
  int8,
  int4,
  int2,
  uint64,
  uint32,
  uint16,
  uint8,
  uint4,
  uint2,
  boolean,
};

KONV_API const char* type_name(Type type);

/// An input or output of a model; sizes that are not fixed are -1.
struct TensorInfo {
  std::string name;
  Type type = Type::float32;
  std::vector<std::int64_t> shape;
};

/// A tensor somebody else owns: row-major, without gaps.
struct InputTensor {
  std::string name;  ///< empty: inputs in the model's order
  Type type = Type::float32;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
};

/// An output of the last run; valid until the session runs again or ends.
struct OutputTensor {
  std::string name;
  Type type = Type::float32;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
  std::size_t size_bytes = 0;

  template <class T>
  std::span<const T> values() const {
    return {static_cast<const T*>(data), size_bytes / sizeof(T)};
  }
};

/// What a pass did: one line per place where it fired.
struct PassReport {
  std::string pass;
  std::vector<std::string> fired;
  std::vector<std::string> refused;  ///< nodes that a user would expect it to take, with the reason why it did not
};

struct PassInfo {
  std::string name, summary, place;
};

/// Pixels to tensor: x = (pixel * scale - mean[c]) / std[c].
struct PreprocessingInfo {
  std::int32_t width = 0, height = 0;
  float scale = 1.0f / 255.0f;
  std::vector<float> mean, std;
  bool bgr = false;
};

struct SessionOptions;
class Model;
class Runtime;

struct ConvLayer;
struct ConvReport;
struct ModelConvReport;
struct ConvBenchOptions;

/// Images to compress a model with: `load(i, out)` writes the input tensor of image i (0 <= i < count), one image's float32 elements.
struct CalibrationImages {
  std::int64_t count = 0;
  std::function<void(std::int64_t, float*)> load;
};

/// Post-training quantization, without gradients: Frantar et al., GPTQ, arXiv 2210.17323, layer after layer, each fitted to what the float network gives.
struct QuantizeOptions {
  Type weights =
      Type::int8;  ///< int2, int4, int8 or int16, one scale per output channel; float16 or bfloat16: stored so, no image is needed
  Type activations = Type::int8;             ///< float32, int2, int4, int8 (stored unsigned, with a zero point where needed) or int16
  std::string calibrator = "auto";           ///< auto, minmax, percentile, kl or mse
  std::string rounding = "full";             ///< nearest, gptq, or full: GPTQ, then coordinate descent
  const Model* reference = nullptr;          ///< the float model to imitate when this one is already pruned; null: itself
  std::string config;                        ///< JSON text, see `konv quantize --help`; empty: none
  std::map<std::string, std::string> notes;  ///< how it was made: kept in the model
  std::function<void(std::size_t, std::size_t)> progress;  ///< (done, total); may be empty
};

/// Pruning after training, the rest refitted. Optimal brain surgeon, OBC, arXiv 2208.11580.
struct PruneOptions {
  double sparsity = 0.5;  ///< share of the convolutions' multiply-adds that goes, from 0 up to 1
  /// k-rows: im2col rows (input channel, tap) leave all output channels together; channels: whole output channels leave with what reads them; unstructured:
  /// single weights become zero
  std::string kind = "k-rows";
  int granularity = 1;               ///< input channels that leave together per tap: 1, 4, 8 or 16
  const Model* reference = nullptr;  ///< the model to imitate when this one is already pruned; null: itself
  std::map<std::string, std::string> notes;
  std::function<void(std::size_t, std::size_t)> progress;
};

/// A network with its weights. Copies are cheap and share everything.
class KONV_API Model {
 public:
  /// Maps a .konv file. The file must not change while the model lives. Throws Error for anything that is not a whole, valid model.
  static Model load(const std::string& path);
  /// The same from memory; `name` stands for the file in errors.
  static Model from_bytes(std::span<const std::byte> bytes, const std::string& name);
  /// Writes a .konv file, whole or not at all.
  void save(const std::string& path) const;
  /// The bytes of such a file.
  std::vector<std::byte> to_bytes() const;

  std::vector<TensorInfo> inputs() const;
  std::vector<TensorInfo> outputs() const;
  const std::vector<std::string>& labels() const;
  /// Null when the model records none.
  std::unique_ptr<PreprocessingInfo> preprocessing() const;
  /// Passes that were applied, in order.
  const std::vector<std::string>& applied_passes() const;

  /// Interleaved 8-bit RGB pixels of one image to the model's first input, [3, height, width] floats. Throws Error when the size is not the model's.
  void preprocess(const std::uint8_t* rgb, int width, int height, float* out) const;

  /// A model with graph passes applied: "default", "none" or names separated by commas.
  Model optimize(std::string_view passes = "default", std::vector<PassReport>* reports = nullptr) const;
  /// Every pass there is, in the order of the default pipeline.
  static std::vector<PassInfo> passes();
  /// Default passes that would still change something.
  std::vector<std::string> pending_passes() const;

  /// A smaller model that computes in integers; the default passes are applied first. The same images and options give the same model, whatever the number of
  /// threads. `report`: JSON, one object per layer. Throws Error for what cannot be quantized, naming the node.
  Model quantize(const CalibrationImages& images, const QuantizeOptions& options, const Runtime& runtime,
                 std::string* report = nullptr) const;

  /// A model whose convolutions read fewer rows. `report`: JSON, one object per pruned layer. Throws Error.
  Model prune(const CalibrationImages& images, const PruneOptions& options, const Runtime& runtime, std::string* report = nullptr) const;

  /// A model whose outputs are these values (any named value of the graph), for looking inside; quantized ones as the real numbers they stand for.
  Model with_outputs(const std::vector<std::string>& values) const;
  /// A copy with other labels and preprocessing.
  Model with_metadata(std::vector<std::string> labels, const PreprocessingInfo* preprocessing) const;

  /// The graph as JSON: nodes, shapes, attributes, applied passes, parameters, weight bytes, multiply-adds (for batch 1 where the batch is open).
  std::string describe() const;
  /// The graph in Graphviz' language.
  std::string dot() const;
  /// The plan for these input shapes as JSON: steps, kernels, refusals, memory. Empty shapes: the model's, with batch 1. On the CPU "batch" says in what slices a
  /// batch is run; the steps are those of one slice. `threads` (0: all cores) counts where options name a plan file, ask for tuning or limit memory.
  std::string plan(const SessionOptions& options, const std::vector<std::vector<std::int64_t>>& input_shapes = {}, int threads = 0) const;

  std::int64_t weights_bytes() const;

 private:
  friend class Session;
  friend KONV_API std::vector<ModelConvReport> bench_convolutions(const Model&, std::span<const InputTensor>, const Runtime&,
                                                                  const ConvBenchOptions&);
  struct Impl;
  explicit Model(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

/// Owns the threads. One serves any number of sessions; a session that finds it busy runs on the calling thread alone.
class KONV_API Runtime {
 public:
  /// `threads` in all, the calling one included; 0 = one per core.
  explicit Runtime(int threads = 0);
  int threads() const;

 private:
  friend class Session;
  friend KONV_API std::vector<ConvReport> bench_convolution(const ConvLayer&, const Runtime&, const ConvBenchOptions&);
  friend KONV_API std::vector<ModelConvReport> bench_convolutions(const Model&, std::span<const InputTensor>, const Runtime&,
                                                                  const ConvBenchOptions&);
  friend class Model;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

struct SessionOptions {
  std::string device = "auto";  ///< auto, cpu, cuda, cuda:N; for Model::plan also GPUs that are not here, "cuda:h200"
  std::string fallback;         ///< "cpu": nodes without a CUDA kernel run on the CPU; empty: they are an error
  std::string isa;              ///< plan only: an instruction set that need not be here
  /// What products may be computed in; sums are of float32 everywhere. On a CPU float32 or bfloat16: weights, and where the CPU has a dot product of it inputs,
  /// are rounded to it where that is predicted to be faster. On a GPU float32, tf32 or float16, everywhere.
  std::string precision = "float32";
  std::int64_t memory_limit = 0;  ///< bytes for weights, arena and workspace together; 0 = none
  /// Relative error allowed to a convolution's algorithm, as Session's bench prints it; 0: any but F(6x6,3x3), whose errors are nine times those of sums of
  /// products.
  double max_error = 0;
  /// off, quick, full: measure the CPU's convolution kernels in place before a shape's first run, and take the fastest.
  std::string tune = "off";
  /// Choices to use instead of measuring; what tuning measured is written there. Plans for another CPU or build are refused.
  std::string plan_file;
  bool profile = false;  ///< time every step
};

/// One step of the last shape's plan.
struct LayerReport {
  std::string name, op, kernel, type;
  std::vector<std::int64_t> output_shape;
  std::int64_t macs = 0;
  double seconds = 0;  ///< of the last run; with SessionOptions::profile
  double limit_seconds =
      0;  ///< what this machine could do at best: multiply-adds (of Winograd where it applies) against the measured peak, bytes against bandwidth
  std::string
      precision;  ///< float32; bfloat16 weights: of that type in memory, multiplied as float32; bfloat16: inputs, too. On a GPU the session's
};

struct MemoryReport {
  std::int64_t weights_bytes = 0, arena_bytes = 0, workspace_bytes = 0;
};

/// Runs one model on one device. Any input shape the model admits, any batch size; after a shape's first run nothing is allocated.
class KONV_API Session {
 public:
  explicit Session(const Model& model, const SessionOptions& options = {});
  Session(const Model& model, const Runtime& runtime, const SessionOptions& options = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  /// Throws Error naming the input when something is missing, unknown, or of the wrong type or shape.
  void run(std::span<const InputTensor> inputs);
  void run(std::initializer_list<InputTensor> inputs) { run(std::span<const InputTensor>(inputs.begin(), inputs.size())); }

  std::size_t output_count() const;
  OutputTensor output(std::size_t index) const;

  const std::string& device() const;  ///< what runs: "cpu", "cuda:0"
  const std::string& isa() const;     ///< "avx512", "sm_90"
  int threads() const;
  std::vector<LayerReport> layers() const;  ///< of the last run's shape
  MemoryReport memory() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What this machine offers, as JSON: CPU, instruction sets, caches, devices. `measure`: peak and bandwidth of one core too, which takes 0.1 s.
KONV_API std::string devices(bool measure = false);

}  // namespace konv
