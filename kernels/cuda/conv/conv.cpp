#include "kernels/cuda/conv/conv.h"

#include "kernels/cuda/conv/first.h"
#include "kernels/cuda/conv/halo.h"
#include "kernels/cuda/conv/pack.h"

namespace konv::cuda {

std::int64_t ConvProblem::k_groups() const {
  const std::int64_t groups = kept_groups < 0 ? all_groups() : kept_groups;
  return groups == 0 ? 2 : (groups + 1) / 2 * 2;
}

namespace {

double real(std::int64_t n) { return static_cast<double>(n); }
std::int64_t tiles(std::int64_t n, std::int64_t tile) { return (n + tile - 1) / tile; }

ConvGeometry geometry(const ConvProblem& p) {
  const ConvShape& s = p.shape;
  const auto i = [](std::int64_t n) { return static_cast<std::int32_t>(n); };
  return {.batch = i(s.batch),
          .in_h = i(s.in_h),
          .in_w = i(s.in_w),
          .in_channels = i(s.in_channels),
          .in_pitch = i(p.in_pitch()),
          .out_h = i(s.out_h()),
          .out_w = i(s.out_w()),
          .out_channels = i(s.out_channels),
          .out_pitch = i(p.out_pitch()),
          .kernel_h = i(s.kernel_h),
          .kernel_w = i(s.kernel_w),
          .stride_h = i(s.stride_h),
          .stride_w = i(s.stride_w),
          .dilation_h = i(s.dilation_h),
          .dilation_w = i(s.dilation_w),
          .pad_top = i(s.pad_top),
          .pad_left = i(s.pad_left),
          .groups = i(s.groups)};
}

Epilogue epilogue(const ConvMemory& m) { return {static_cast<const float*>(m.bias), m.residual, m.activation}; }
ConvParams params(const ConvProblem& p, const ConvMemory& m) { return {geometry(p), m.in, m.weight, m.out, epilogue(m)}; }

double in_bytes(const ConvProblem& p) {
  return real(p.shape.batch * p.shape.in_h * p.shape.in_w * p.in_pitch() * element_bytes(p.precision));
}
double out_bytes(const ConvProblem& p) { return real(p.pixels() * p.out_pitch() * element_bytes(p.precision)); }
/// What must move at least, with the weights that are left.
double once_bytes(const ConvProblem& p, double weight_bytes) { return in_bytes(p) + out_bytes(p) + weight_bytes; }

std::int64_t no_workspace(const ConvProblem&) { return 0; }

// direct: everything

const char* refuse_direct(const ConvKernel&, const ConvProblem&) { return nullptr; }

Counts count_direct(const ConvKernel& k, const ConvProblem& p) {
  const double elements = real(p.pixels() * p.out_pitch()), taps = real(p.shape.kernel_h * p.shape.kernel_w);
  const double products = elements * real(p.shape.group_in()) * taps, bytes = element_bytes(p.precision);
  // 32 lanes read the same element of as many convolution groups as they reach into, and weights that lie together.
  const double groups = std::max(1.0, 32 / real(p.shape.group_out()));
  const double in_sectors = std::max(1.0, groups * std::min(1.0, real(p.shape.group_in()) * bytes / 32));
  const double pixels = std::max(1.0, 32 / real(p.out_pitch())),
               pixel_sectors = std::max(1.0, pixels * std::min(1.0, real(p.in_pitch()) * bytes / 32));
  const double weight_sectors = std::min(32.0, real(p.out_pitch())) * bytes / 32;
  return {.blocks = std::ceil(elements / 128),
          .registers = real(k.registers),
          .multiply_adds = 4 * products,
          .sectors = products / 32 * ((p.shape.groups == 1 ? pixel_sectors : in_sectors) + weight_sectors) + out_bytes(p) / 32,
          .dram_bytes = once_bytes(p, taps * real(p.shape.group_in() * p.out_pitch()) * bytes),
          .steps = taps * real(p.shape.group_in())};
}

void call_direct(const ConvKernel& k, const ConvProblem& p, const ConvMemory& m, std::vector<Call>& calls) {
  calls.push_back(launch_flat(k.kernel, params(p, m), p.pixels() * p.out_pitch()));
}

constexpr ConvAlgorithm kDirect = {refuse_direct, count_direct, no_workspace, pack_direct, call_direct};

// depthwise

const char* refuse_depthwise(const ConvKernel&, const ConvProblem& p) {
  if (p.shape.groups != p.shape.in_channels || p.shape.groups == 1) return "groups differ from input channels";
  if (p.shape.out_channels != p.shape.in_channels) return "several filters per channel";
  return nullptr;
}

Counts count_depthwise(const ConvKernel& k, const ConvProblem& p) {
  const double elements = real(p.pixels() * p.out_pitch()), taps = real(p.shape.kernel_h * p.shape.kernel_w),
               bytes = element_bytes(p.precision);
  // A warp reads 512 bytes of pixels per tap and the weights of as many channels as lie in them.
  const double warps = elements * bytes / 512, weight_bytes = 4 * std::min(real(p.out_pitch()), 512 / bytes);
  return {.blocks = std::ceil(elements * bytes / 16 / 128),
          .registers = real(k.registers),
          .multiply_adds = 2 * elements * taps,
          .sectors = taps * (elements * bytes + warps * weight_bytes * (bytes == 2 ? 2 : 1)) / 32 + out_bytes(p) / 32,
          .dram_bytes = once_bytes(p, taps * real(p.out_pitch()) * 4),
          .steps = taps};
}

void call_depthwise(const ConvKernel& k, const ConvProblem& p, const ConvMemory& m, std::vector<Call>& calls) {
  calls.push_back(launch_flat(k.kernel, params(p, m), p.pixels() * p.out_pitch() * element_bytes(p.precision) / 16));
}

constexpr ConvAlgorithm kDepthwise = {refuse_depthwise, count_depthwise, no_workspace, pack_depthwise, call_depthwise};

// first: few input channels, float32 NCHW

const char* refuse_first(const ConvKernel&, const ConvProblem& p) {
  if (!p.plain_input) return "the input is not the network's";
  if (p.shape.groups != 1) return "grouped";
  if (p.shape.in_channels > 4) return "more than 4 input channels";
  if (p.shape.batch > 65535) return "more than 65535 images";
  if (first_shared_bytes(geometry(p)) > 96 << 10) return "weights and tile exceed shared memory";
  return nullptr;
}

Counts count_first(const ConvKernel& k, const ConvProblem& p) {
  const ConvShape& s = p.shape;
  const ConvGeometry g = geometry(p);
  const FirstTile tile = first_tile(g);
  const double blocks = real(s.batch * tiles(s.out_h(), kFirstHeight) * tiles(s.out_w(), kFirstWidth));
  const double shared = real(first_shared_bytes(g)), padded = real(tiles(s.out_channels, kFirstLane) * kFirstLane);
  const double weight_bytes = 4 * padded * real(s.k()), image_bytes = 4.0 * real(s.in_channels) * tile.height * tile.width;
  // One load of the pixel and two of weights feed 8 sums. A thread writes 16 bytes of its pixel at a time: half sectors where it has more.
  const double stores = p.out_pitch() * element_bytes(p.precision) > 16 ? 2 : 1;
  return {.blocks = blocks,
          .registers = real(k.registers),
          .shared_bytes = shared,
          .multiply_adds = 1.5 * blocks * 128 * real(s.k()) * padded,
          .sectors = blocks * (weight_bytes + 1.2 * image_bytes) / 32 + stores * out_bytes(p) / 32,
          .dram_bytes = 4 * real(s.batch * s.in_channels * s.in_h * s.in_w) + out_bytes(p) + weight_bytes,
          .steps = 4};
}

void call_first(const ConvKernel& k, const ConvProblem& p, const ConvMemory& m, std::vector<Call>& calls) {
  const ConvShape& s = p.shape;
  calls.push_back(make_launch(k.kernel, params(p, m), {tiles(s.out_w(), kFirstWidth), tiles(s.out_h(), kFirstHeight), s.batch},
                              first_shared_bytes(geometry(p))));
}

constexpr ConvAlgorithm kFirst = {refuse_first, count_first, no_workspace, pack_first, call_first};

// halo

const char* refuse_halo(const ConvKernel& k, const ConvProblem& p) {
  const ConvShape& s = p.shape;
  if (s.kernel_h != 3 || s.kernel_w != 3) return "kernel is not 3x3";
  if (s.stride_h != 1 || s.stride_w != 1) return "stride is not 1";
  if (s.dilation_h != 1 || s.dilation_w != 1) return "dilated";
  if (s.pad_top != 1 || s.pad_left != 1 || s.pad_bottom != 1 || s.pad_right != 1) return "padding is not 1";
  if (s.groups != 1) return "grouped";
  if (s.in_channels != k.columns || s.out_channels != k.columns) return "other channels";
  return nullptr;
}

Counts count_halo(const ConvKernel& k, const ConvProblem& p) {
  const double channels = k.columns,
               blocks = real(p.shape.batch * tiles(p.shape.out_h(), kHaloHeight) * tiles(p.shape.out_w(), kHaloWidth));
  const double mma = blocks * 4 * 9 * (channels / 16) * (channels / 8) * 2, weight_bytes = 9 * channels * channels * 2;
  const double halo_bytes = (kHaloWidth + 2) * (kHaloHeight + 2) * channels * 2;
  return {.blocks = blocks,
          .registers = real(k.registers),
          .shared_bytes = real(halo_shared_bytes(k.columns)),
          .multiply_adds = mma * 16 * 8 * 16,
          .mma = mma,
          .sectors = blocks * (halo_bytes + 4 * weight_bytes) / 32 + out_bytes(p) / 32,
          .dram_bytes = once_bytes(p, weight_bytes),
          .steps = 2 + 9 * channels / 64};
}

void call_halo(const ConvKernel& k, const ConvProblem& p, const ConvMemory& m, std::vector<Call>& calls) {
  const ConvShape& s = p.shape;
  calls.push_back(make_launch(k.kernel, params(p, m), {.x = s.batch * tiles(s.out_h(), kHaloHeight) * tiles(s.out_w(), kHaloWidth)},
                              halo_shared_bytes(k.columns)));
}

constexpr ConvAlgorithm kHalo = {refuse_halo, count_halo, no_workspace, pack_halo, call_halo};

// rows: few pixels

bool pointwise(const ConvShape& s) {
  return s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 && !s.pad_top && !s.pad_left && !s.pad_bottom &&
         !s.pad_right;
}

const char* refuse_rows(const ConvKernel&, const ConvProblem& p) {
  if (!pointwise(p.shape)) return "kernel is not 1x1 with stride 1";
  if (p.shape.groups != 1) return "grouped";
  if (p.pixels() > 65535 * 4) return "many pixels";
  return nullptr;
}

Counts count_rows(const ConvKernel& k, const ConvProblem& p) {
  const double rows = real(tiles(p.pixels(), 4)), weights = real(p.out_pitch() * p.in_pitch() * element_bytes(p.precision));
  return {.blocks = real(tiles(p.out_pitch(), 4)) * rows,
          .registers = real(k.registers),
          .multiply_adds = 2 * 4 * rows * real(p.out_pitch() * p.in_pitch()),
          .sectors = 5 * rows * weights / 32 + real(p.pixels() * p.out_pitch()),
          .dram_bytes = once_bytes(p, weights),
          .steps = 1 + std::ceil(real(p.in_pitch() * element_bytes(p.precision)) / 512)};
}

void call_rows(const ConvKernel& k, const ConvProblem& p, const ConvMemory& m, std::vector<Call>& calls) {
  calls.push_back(make_launch(k.kernel, params(p, m), {tiles(p.out_pitch(), 4), tiles(p.pixels(), 4)}));
}

constexpr ConvAlgorithm kRows = {refuse_rows, count_rows, no_workspace, pack_rows, call_rows};

// gemm: dense, any window

std::int64_t gemm_shared(const ConvKernel& k) {
  constexpr std::int64_t kStages = 4, kRowBytes = 64;
  return std::max(kStages * (k.rows + k.columns) * kRowBytes, std::int64_t{4} * k.rows * k.columns);
}

const char* refuse_gemm(const ConvKernel&, const ConvProblem& p) {
  const ConvShape& s = p.shape;
  if (s.groups != 1) return "grouped";
  if (s.in_h > 16384 || s.in_w > 16384 || s.dilation_h * (s.kernel_h - 1) > 16384 || s.dilation_w * (s.kernel_w - 1) > 16384)
    return "image or window beyond 16384";
  if (s.dilation_h * s.kernel_h * s.in_w * p.in_pitch() >= std::int64_t{1} << 30) return "window spans too many elements";
  return nullptr;
}

Counts count_gemm(const ConvKernel& k, const ConvProblem& p) {
  const double rows = k.rows, columns = k.columns, row_tiles = real(tiles(p.pixels(), k.rows)),
               column_tiles = real(tiles(p.out_pitch(), k.columns));
  const double blocks = row_tiles * column_tiles, steps = real(p.k_groups()) / 2, bytes = element_bytes(p.precision),
               lanes = real(p.group_lanes());
  const double products = blocks * rows * columns * real(p.k_groups()) * lanes;
  const bool tensor = p.precision != Precision::float32;
  // Copies: a row of 64 bytes per pixel and step that lies in the image, and per channel; the list of groups, once per warp; the output.
  const double pixels = real(p.pixels()), weight_bytes = real(p.out_pitch() * p.k_groups() * 32);
  const double sectors = column_tiles * pixels * real(p.kept_groups < 0 ? p.all_groups() : p.kept_groups) + row_tiles * weight_bytes / 32 +
                         blocks * 4 * steps + out_bytes(p) / 32;
  return {.blocks = blocks,
          .registers = real(k.registers),
          .shared_bytes = real(gemm_shared(k)),
          .multiply_adds = products * (tensor ? 1 : 1.25),
          .mma = tensor ? products / (16 * 8 * (32 / bytes)) : 0,
          .sectors = sectors,
          .dram_bytes = once_bytes(p, weight_bytes),
          .steps = 2 + steps};
}

void call_gemm(const ConvKernel& k, const ConvProblem& p, const ConvMemory& m, std::vector<Call>& calls) {
  const ConvGemmParams params = {geometry(p), m.in, m.weight, m.groups, static_cast<std::int32_t>(p.k_groups()), m.out, epilogue(m)};
  calls.push_back(make_launch(k.kernel, params, {tiles(p.pixels(), k.rows), tiles(p.out_pitch(), k.columns)}, gemm_shared(k)));
}

constexpr ConvAlgorithm kGemm = {refuse_gemm, count_gemm, no_workspace, pack_gemm, call_gemm};

// cublas: windows written out, a product of cuBLAS, and the epilogue over the result

const char* refuse_cublas(const ConvKernel&, const ConvProblem& p) { return p.shape.groups != 1 ? "grouped" : nullptr; }

std::int64_t columns_bytes(const ConvProblem& p) {
  if (pointwise(p.shape)) return 0;
  return p.pixels() * p.shape.kernel_h * p.shape.kernel_w * p.in_pitch() * element_bytes(p.precision);
}

Counts count_cublas(const ConvKernel& k, const ConvProblem& p) {
  const double rows = real(tiles(p.pixels(), k.rows)), columns = real(tiles(p.out_pitch(), k.columns)), bytes = element_bytes(p.precision);
  const double depth = real(p.shape.kernel_h * p.shape.kernel_w * p.in_pitch()), written = real(columns_bytes(p)),
               weights = real(p.out_pitch()) * depth * bytes;
  const double products = rows * columns * 128.0 * 128.0 * depth;
  // Windows are written and read, the result is read and written once more by the epilogue.
  return {.blocks = rows * columns,
          .registers = 200,
          .shared_bytes = 64 << 10,
          .multiply_adds = products,
          .mma = p.precision == Precision::float32 ? 0 : products / 2048,
          .sectors = (2 * written + rows * weights + 4 * out_bytes(p)) / 32,
          .dram_bytes = once_bytes(p, weights) + 2 * written + 2 * out_bytes(p),
          .steps = depth * bytes / 64 + (written > 0 ? 60 : 30)};
}

void call_cublas(const ConvKernel& k, const ConvProblem& p, const ConvMemory& m, std::vector<Call>& calls) {
  const void* matrix = m.in;
  const std::int64_t depth = p.shape.kernel_h * p.shape.kernel_w * p.in_pitch();
  if (!pointwise(p.shape)) {
    const Im2colParams params = {geometry(p), m.in, m.workspace};
    calls.push_back(launch_flat(k.kernel, params, p.pixels() * depth * element_bytes(p.precision) / 16));
    matrix = m.workspace;
  }
  calls.push_back(
      MatrixProduct{.precision = p.precision, .m = p.pixels(), .n = p.out_pitch(), .k = depth, .a = matrix, .b = m.weight, .out = m.out});
  if (!m.bias && !m.residual && m.activation.kind == ActivationKind::none) return;
  const std::int64_t chunks = p.pixels() * p.out_pitch() * element_bytes(p.precision) / 16;
  const AffineParams params = {.in = m.out,
                               .out = m.out,
                               .chunks = chunks,
                               .channels = static_cast<std::int32_t>(p.shape.out_channels),
                               .pitch = static_cast<std::int32_t>(p.out_pitch()),
                               .scale = nullptr,
                               .shift = static_cast<const float*>(m.bias),
                               .residual = m.residual,
                               .activation = m.activation};
  calls.push_back(launch_flat(by_storage(p.precision, KernelId::affine_f32, KernelId::affine_f16), params, chunks));
}

constexpr ConvAlgorithm kCublas = {refuse_cublas, count_cublas, columns_bytes, pack_rows, call_cublas};

// cublaslt: 1x1 as one product of the library, which adds bias and residual and activates on the way out

const char* refuse_cublaslt(const ConvKernel&, const ConvProblem& p) {
  if (!pointwise(p.shape)) return "kernel is not 1x1 with stride 1";
  if (p.shape.groups != 1) return "grouped";
  if (p.activation != ActivationKind::none && p.activation != ActivationKind::relu) return "the library's epilogue has no such activation";
  return nullptr;
}

Counts count_cublaslt(const ConvKernel& k, const ConvProblem& p) {
  Counts c = count_cublas(k, p);  // whose epilogue reads and writes the result once more
  c.sectors -= 2 * out_bytes(p) / 32;
  c.dram_bytes -= 2 * out_bytes(p);
  c.steps -= 30;
  return c;
}

void call_cublaslt(const ConvKernel&, const ConvProblem& p, const ConvMemory& m, std::vector<Call>& calls) {
  calls.push_back(MatrixProduct{.precision = p.precision,
                                .m = p.pixels(),
                                .n = p.out_pitch(),
                                .k = p.in_pitch(),
                                .a = m.in,
                                .b = m.weight,
                                .bias = m.bias,
                                .residual = m.residual,
                                .relu = m.activation.kind == ActivationKind::relu,
                                .out = m.out});
}

constexpr ConvAlgorithm kCublaslt = {refuse_cublaslt, count_cublaslt, no_workspace, pack_rows, call_cublaslt};

constexpr const ConvAlgorithm& algorithm_direct() { return kDirect; }
constexpr const ConvAlgorithm& algorithm_depthwise() { return kDepthwise; }
constexpr const ConvAlgorithm& algorithm_first() { return kFirst; }
constexpr const ConvAlgorithm& algorithm_halo() { return kHalo; }
constexpr const ConvAlgorithm& algorithm_rows() { return kRows; }
constexpr const ConvAlgorithm& algorithm_gemm() { return kGemm; }
constexpr const ConvAlgorithm& algorithm_cublas() { return kCublas; }
constexpr const ConvAlgorithm& algorithm_cublaslt() { return kCublaslt; }

}  // namespace

const char* ConvKernel::refuse(const ConvProblem& p, const Gpu& gpu) const {
  if (precision != p.precision) return "another precision";
  if (gpu.capability < capability) return "the GPU is too old";
  if (!p.constant_weight) return "the weight is no constant";
  if (p.pixels() >= std::int64_t{1} << 31) return "more than 2^31 output pixels";
  if (p.pixels() * p.out_pitch() / 128 >= std::int64_t{1} << 31 || p.shape.in_h * p.shape.in_w * p.in_pitch() >= std::int64_t{1} << 31)
    return "image too large";
  return algorithm->refuse(*this, p);
}

double ConvKernel::cost(const ConvProblem& p, const Gpu& gpu) const {
  const double seconds = predict_seconds(count(p), gpu, p.precision);
  return algorithm == &kCublas ? seconds + (pointwise(p.shape) ? 1 : 2) * gpu.launch_seconds : seconds;
}

bool ConvKernel::reads_plain_input() const { return algorithm == &kFirst; }
bool ConvKernel::calls_cublas() const { return algorithm == &kCublas || algorithm == &kCublaslt; }
bool ConvKernel::reads_half_bias() const { return algorithm == &kCublaslt && precision == Precision::float16; }

std::span<const ConvKernel> conv_kernels() {
  static const ConvKernel kernels[] = {
#define KONV_CUDA_CONV(name, precision, capability, kernel, rows, columns, registers, algorithm) \
  {#name, Precision::precision, capability, KernelId::kernel, rows, columns, registers, &algorithm_##algorithm()},
#include "kernels/cuda/conv/conv_kernels.inc"
#undef KONV_CUDA_CONV
  };
  return kernels;
}

const ConvKernel* find_conv_kernel(std::string_view name) {
  for (const ConvKernel& kernel : conv_kernels()) {
    if (name == kernel.name) return &kernel;
  }
  return nullptr;
}

}  // namespace konv::cuda
