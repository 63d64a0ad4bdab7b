#include "engine/run/cuda/executable.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/plan/cuda/image.h"
#include "engine/plan/cuda/make.h"
#include "engine/plan/cuda/weight.h"
#include "engine/run/cuda/image_bytes.h"
#include "kernels/cuda/conv/pack.h"

namespace konv::run {
namespace {

constexpr std::size_t kAlign = 256;

/// Everything that goes to the device once, in one block.
class Upload {
 public:
  std::size_t add(const void* data, std::size_t bytes) {
    const std::size_t at = (bytes_.size() + kAlign - 1) / kAlign * kAlign;
    bytes_.resize(at + bytes);
    std::memcpy(bytes_.data() + at, data, bytes);
    return at;
  }
  template <class T>
  std::size_t add(const std::vector<T>& values) {
    return add(values.data(), values.size() * sizeof(T));
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

bool is_conv(const plan::Step& step) {
  return step.kernel != plan::kCpuStep &&
         (std::holds_alternative<plan::ConvStep>(step.work) || std::holds_alternative<plan::GemmStep>(step.work));
}

std::vector<float> constant_values(const Graph& graph, const plan::Plan& plan, int value) {
  return to_f32(*graph.constant(plan.values[static_cast<std::size_t>(value)].origin));
}

/// [pitch] elements, zeros behind the channels; one element stands for all.
std::vector<float> padded(std::vector<float> values, std::int64_t channels, std::int64_t pitch, float factor = 1) {
  if (values.size() == 1) values.assign(static_cast<std::size_t>(channels), values[0]);
  for (float& x : values) x *= factor;
  values.resize(static_cast<std::size_t>(pitch));
  return values;
}

std::vector<std::uint16_t> halves(const std::vector<float>& values) {
  std::vector<std::uint16_t> bits(values.size());
  std::transform(values.begin(), values.end(), bits.begin(), cuda::half_bits);
  return bits;
}

}  // namespace

const cuda::ConvKernel& conv_kernel(const plan::Step& step) {
  if (const cuda::ConvKernel* kernel = cuda::find_conv_kernel(step.kernel)) return *kernel;
  throw Error("step '" + step.name + "': the plan wants CUDA kernel '" + step.kernel +
              "', which this build does not have; expected a plan made by this build");
}

cuda::ConvProblem conv_problem(const plan::Step& step, const cuda::ConvKernel& kernel) {
  cuda::ConvProblem problem{.precision = kernel.precision, .plain_input = kernel.reads_plain_input()};
  if (const auto* conv = std::get_if<plan::ConvStep>(&step.work)) {
    problem.shape = conv->shape;
    problem.activation = conv->activation.kind;
  }
  if (const auto* gemm = std::get_if<plan::GemmStep>(&step.work)) {
    problem.shape = plan::product_shape(gemm->shape);
    problem.activation = gemm->activation.kind;
  }
  return problem;
}

CudaExecutable::CudaExecutable(std::shared_ptr<const Graph> graph, plan::Plan plan, cuda::Precision precision, CudaWeights& weights)
    : graph_(std::move(graph)),
      plan_(std::move(plan)),
      precision_(precision),
      device_(weights.device()),
      packed_(plan_.steps.size()),
      constants_(plan_.steps.size()),
      images_(plan_.values.size()) {
  Upload upload;
  struct Offsets {
    std::ptrdiff_t groups = -1, bias = -1, scale = -1, shift = -1;
  };
  std::vector<Offsets> offsets(plan_.steps.size());
  std::vector<std::ptrdiff_t> image_offsets(plan_.values.size(), -1);
  const auto put = [&](const auto& values) { return static_cast<std::ptrdiff_t>(upload.add(values)); };

  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    const plan::Step& step = plan_.steps[i];
    if (is_conv(step)) {
      const cuda::ConvKernel& kernel = conv_kernel(step);
      cuda::ConvProblem problem = conv_problem(step, kernel);
      const auto* gemm = std::get_if<plan::GemmStep>(&step.work);
      const ValueId weight = plan_.values[static_cast<std::size_t>(step.inputs[1])].origin;
      packed_[i] = weights.get(*graph_, weight, kernel, problem, gemm);
      constants_[i].weight = packed_[i]->weight.data();
      if (!packed_[i]->groups.empty()) offsets[i].groups = put(cuda::groups_in(problem, packed_[i]->groups));
      constants_[i].group_count = std::ssize(packed_[i]->groups);
      if (step.inputs[2] >= 0) {
        const std::vector<float> bias = padded(constant_values(*graph_, plan_, step.inputs[2]), problem.shape.out_channels,
                                               problem.out_pitch(), gemm ? gemm->beta : 1.0f);
        offsets[i].bias = kernel.reads_half_bias() ? put(halves(bias)) : put(bias);
      }
    } else if (const auto* norm = std::get_if<plan::BatchNormStep>(&step.work); norm && step.kernel != plan::kCpuStep) {
      const std::vector<float> gamma = constant_values(*graph_, plan_, step.inputs[1]),
                               beta = constant_values(*graph_, plan_, step.inputs[2]),
                               mean = constant_values(*graph_, plan_, step.inputs[3]),
                               variance = constant_values(*graph_, plan_, step.inputs[4]);
      std::vector<float> scale(gamma.size()), shift(gamma.size());
      for (std::size_t c = 0; c < gamma.size(); ++c) {
        scale[c] = gamma[c] / std::sqrt(variance[c] + norm->epsilon);
        shift[c] = beta[c] - mean[c] * scale[c];
      }
      const std::int64_t pitch = cuda::pitch_of(norm->shape.channels, precision_);
      offsets[i].scale = put(padded(scale, norm->shape.channels, pitch));
      offsets[i].shift = put(padded(shift, norm->shape.channels, pitch));
    }
  }
  for (std::size_t v = 0; v < plan_.values.size(); ++v) {
    const plan::Value& value = plan_.values[v];
    if (value.storage != plan::Storage::constant || value.layout.format != Format::channels_last) continue;
    image_offsets[v] = put(to_device_bytes(value, to_f32(*graph_->constant(value.origin))));
  }

  memory_ = std::make_unique<DeviceMemory>(device_, upload.bytes().size());
  const CudaStream stream(device_);
  device_.check(device_.table->copy_to_device(stream.get(), memory_->data(), upload.bytes().data(), upload.bytes().size()),
                "copying weights");
  device_.check(device_.table->synchronize(stream.get()), "copying weights");
  const auto at = [&](std::ptrdiff_t offset) -> const std::byte* { return offset < 0 ? nullptr : memory_->data() + offset; };
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    StepConstants& c = constants_[i];
    c.groups = reinterpret_cast<const cuda::KGroup*>(at(offsets[i].groups));
    c.bias = at(offsets[i].bias);
    c.scale = reinterpret_cast<const float*>(at(offsets[i].scale));
    c.shift = reinterpret_cast<const float*>(at(offsets[i].shift));
  }
  for (std::size_t v = 0; v < image_offsets.size(); ++v) images_[v] = at(image_offsets[v]);
}

}  // namespace konv::run
