#include "kernels/cpu/conv/conv.h"

#include <stdexcept>

#include "kernels/base/bfloat16.h"
#include "kernels/cpu/conv/cost.h"
#include "kernels/cpu/conv/refuse.h"
#include "kernels/cpu/conv/rows.h"
#include "tests/kernels/harness.h"
#include "tests/kernels/laid_out.h"

namespace konv {

// Built for the tests, where there is no instruction for what they do.
extern const ConvCode conv_igemm_bf16_portable_code, conv_igemm_bf16_avx2_code, conv_igemm_bf16_avx512_code;

}  // namespace konv

namespace konv::test {
namespace {

const ConvKernel kEmulated[] = {
    {"conv_igemm_bf16_avx512", Isa::avx512, refuse_igemm<Isa::avx512>, cost_igemm_bf16, &conv_igemm_bf16_avx512_code},
    {"conv_igemm_bf16_avx2", Isa::avx2, refuse_igemm<Isa::avx2>, cost_igemm_bf16, &conv_igemm_bf16_avx2_code},
    {"conv_igemm_bf16_portable", Isa::portable, refuse_igemm<Isa::portable>, cost_igemm_bf16, &conv_igemm_bf16_portable_code}};

/// One convolution with its data, the answer in double and how far a kernel may be off.
struct Problem {
  ConvShape shape;
  Activation activation;
  std::vector<float> in, weight, bias, residual;  // the last two may be empty
  std::vector<double> expected, allowed;
  std::vector<double> rounding;  // by how much the answer may change because the kernel rounds its factors
};

std::vector<float> magnitudes(std::vector<float> v) {
  for (float& x : v) x = std::fabs(x);
  return v;
}

/// Zeroes K rows of the weight where the shape counts those that are kept, single weights where it counts those; both counts are then the weight's.
void prune(Problem& p, Rng& rng) {
  ConvShape& s = p.shape;
  const std::int64_t k = s.k();
  for (std::int64_t row = 0; s.kept_rows >= 0 && row < k; ++row) {
    if (rng.chance(0.5)) continue;
    for (std::int64_t o = 0; o < s.out_channels; ++o) p.weight[static_cast<std::size_t>(o * k + row)] = 0;
  }
  for (float& w : p.weight) {
    if (s.nonzeros >= 0 && rng.chance(0.8)) w = 0;
  }
  if (s.kept_rows >= 0) s.kept_rows = count_rows(s, p.weight.data());
  if (s.nonzeros >= 0) s.nonzeros = std::count_if(p.weight.begin(), p.weight.end(), [](float w) { return w != 0; });
}

std::vector<float> rounded(std::vector<float> v, DType type) {
  if (type == DType::bfloat16) {
    for (float& x : v) x = float_from_bfloat16(bfloat16_from_float(x));
  }
  return v;
}

/// For a kernel that rounds, the answer is that of the rounded numbers.
Problem random_problem(const ConvShape& s, Rng& rng, const ConvKernel& kernel) {
  Problem p{s, random_activation(rng), {}, {}, {}, {}, {}, {}, {}};
  const std::int64_t outputs = s.batch * s.out_channels * s.out_pixels();
  p.in = rng.reals(s.batch * s.in_channels * s.in_h * s.in_w);
  p.weight = rng.reals(s.weight_count());
  prune(p, rng);
  if (rng.chance(0.6)) p.bias = rng.reals(s.out_channels);
  if (rng.chance(0.4)) p.residual = rng.reals(outputs);
  p.expected.resize(static_cast<std::size_t>(outputs));
  p.allowed.resize(p.expected.size());
  const auto data = [](const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); };
  const std::vector<float> in_seen = rounded(p.in, kernel.code->input_type), weight_seen = rounded(p.weight, kernel.code->weight_type);
  conv_oracle(s, data(in_seen), data(weight_seen), data(p.bias), data(p.residual), p.activation, p.expected.data());
  const std::vector<float> in = magnitudes(p.in), weight = magnitudes(p.weight), bias = magnitudes(p.bias),
                           residual = magnitudes(p.residual);
  conv_oracle(s, data(in), data(weight), data(bias), data(residual), {}, p.allowed.data());
  const double of_weight = kernel.code->weight_type == DType::bfloat16 ? 0x1p-8 : 0,
               of_input = kernel.code->input_type == DType::bfloat16 ? 0x1p-8 : 0;
  p.rounding = p.allowed;  // the factors' share of the magnitudes, and of bias and residual at most as much
  for (double& r : p.rounding) r *= 2 * ((1 + of_weight) * (1 + of_input) - 1);
  for (double& a : p.allowed) a = 2 * sum_error(s.k(), a) + 1e-6;  // no activation is steeper than 2, each rounds a few times
  return p;
}

/// Runs a kernel of a layout of its own: zeros around the input, at least as wide as it asks for.
std::vector<float> run_laid_out(const ConvKernel& kernel, const Problem& p, std::uint64_t seed, Order order) {
  Rng rng(seed);
  const ConvShape& s = p.shape;
  const auto more = [&](const Halo& halo) {  // another consumer may have asked for more
    const auto extra = [&] { return rng.chance(0.3) ? static_cast<int>(rng.integer(1, 2)) : 0; };
    return Halo{halo.top + extra(), halo.left + extra(), halo.bottom + extra(), halo.right + extra()};
  };
  const ConvCode& code = *kernel.code;
  const std::vector<std::int64_t> out_dims = {s.batch, s.out_channels, s.out_h(), s.out_w()};
  LaidOut in({s.batch, s.in_channels, s.in_h, s.in_w}, code.in_block, more(code.halo ? code.halo(s) : Halo{}), 0.0f);
  LaidOut out(out_dims, code.out_block, more({}), 77.0f), residual(out_dims, code.out_block, more({}), 0.0f);
  in.assign(p.in);
  ConvArgs args{s, in.view(), out.view(), p.weight.data(), p.bias.empty() ? nullptr : p.bias.data(), {}, p.activation};
  if (!p.residual.empty()) {
    residual.assign(p.residual);
    args.residual = residual.view();
  }
  GuardedBytes packed(code.packed_bytes ? code.packed_bytes(s) : 0);
  if (code.pack) {
    code.pack(s, p.weight.data(), packed.data());
    CHECK(packed.guards_hold());
    args.weight = packed.data();
  }
  args.far_weights = order == Order::backward;  // changes when bytes are fetched and no number
  CHECK(run_chunks(code, args, order));
  const std::vector<float> result = out.values();
  CHECK(out.surroundings_hold());
  return result;
}

bool plain(const ConvKernel& kernel) { return kernel.code->in_block == 1 && kernel.code->out_block == 1 && !kernel.code->halo; }

/// Runs the kernel on tensors that lie as it asks; plain ones as `gap` and `seed` say.
std::vector<float> run(const ConvKernel& kernel, const Problem& p, int gap, std::uint64_t seed, Order order) {
  if (!plain(kernel)) return run_laid_out(kernel, p, seed, order);
  Rng rng(seed);
  const ConvShape& s = p.shape;
  Embedded<float> in({s.batch, s.in_channels, s.in_h, s.in_w}, DType::float32, rng, gap);
  Embedded<float> out({s.batch, s.out_channels, s.out_h(), s.out_w()}, DType::float32, rng, gap);
  Embedded<float> residual({s.batch, s.out_channels, s.out_h(), s.out_w()}, DType::float32, rng, gap);
  in.assign(p.in);
  ConvArgs args{s, in.view(), out.view(), p.weight.data(), p.bias.empty() ? nullptr : p.bias.data(), {}, p.activation};
  if (!p.residual.empty()) {
    residual.assign(p.residual);
    args.residual = residual.view();
  }
  GuardedBytes packed(kernel.code->packed_bytes ? kernel.code->packed_bytes(s) : 0);
  if (kernel.code->pack) {
    kernel.code->pack(s, p.weight.data(), packed.data());
    CHECK(packed.guards_hold());
    args.weight = packed.data();
  }
  CHECK(run_chunks(*kernel.code, args, order));
  const std::vector<float> result = out.values();
  CHECK(out.surroundings_hold());
  return result;
}

bool named(const ConvKernel& kernel, const char* part) { return std::string(kernel.name).find(part) != std::string::npos; }

/// Winograd's and Fourier's transforms mix the pixels of a tile, the former multiply them by more than 1: an error is measured by the tile's largest sum,
/// and by how much larger the kernel says that its errors are.
std::vector<double> allowed_for(const ConvKernel& kernel, const Problem& p) {
  if (!named(kernel, "winograd") && !named(kernel, "fft")) return p.allowed;
  return std::vector<double>(p.allowed.size(),
                             2 * std::max(4.0, kernel.code->error) * *std::max_element(p.allowed.begin(), p.allowed.end()));
}

/// The kernel as one thread or two run it.
std::vector<float> run_as(const Code<ConvShape, ConvArgs>& variant, ConvKernel kernel, const Problem& p, std::uint64_t seed) {
  ConvCode code = *kernel.code;
  static_cast<Code<ConvShape, ConvArgs>&>(code) = variant;
  kernel.code = &code;
  return run(kernel, p, 0, seed, Order::forward);
}

/// The shape, or for a kernel that is choosy about windows, a convolution like it that it takes.
ConvShape shape_for(const ConvKernel& kernel, ConvShape s) {
  const bool winograd = named(kernel, "winograd"), fft = named(kernel, "fft");
  if (named(kernel, "kept")) {
    s.groups = 1;
    s.kept_rows = s.k();
  }
  if (named(kernel, "sparse")) {
    s.groups = s.kernel_h = s.kernel_w = s.stride_h = s.stride_w = 1;
    s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = 0;
    s.nonzeros = s.weight_count();
  }
  if (!winograd && !fft) return s;
  s.kernel_h = winograd ? 3 : 1 + (s.kernel_h * 5 + s.in_w) % 13;
  s.kernel_w = winograd ? 3 : 1 + (s.kernel_w * 3 + s.in_h) % 13;
  s.stride_h = s.stride_w = s.dilation_h = s.dilation_w = s.groups = 1;
  s.in_h = std::max(s.in_h, s.kernel_h), s.in_w = std::max(s.in_w, s.kernel_w);
  s.in_channels += 7;
  return s;
}

void check_random_shapes(const ConvKernel& kernel) {
  int ran = 0;
  std::uint64_t seed = 0;
  for (const ConvShape& any : random_conv_shapes({.seed = 7, .count = 400, .straddle = lanes(kernel.isa), .max_macs = 400'000})) {
    const ConvShape shape = shape_for(kernel, any);
    ++seed;
    if (!takes(kernel, shape)) continue;
    ++ran;
    CAPTURE(seed);
    Rng rng(seed);
    const Problem problem = random_problem(shape, rng, kernel);
    const int gap = seed % 2 ? 3 : 0;
    const std::vector<float> result = run(kernel, problem, gap, seed, Order::forward);
    CHECK(count_off(result, problem.expected, allowed_for(kernel, problem)) == 0);
    CHECK(same_bits(result, run(kernel, problem, gap, seed, Order::backward)));
    for (const auto* variant : {&kernel.code->alone, &kernel.code->pair}) {
      if (variant->run) CHECK(same_bits(result, run_as(*variant, kernel, problem, seed)));
    }
  }
  CHECK_MESSAGE(ran >= 20, "the shapes hardly reach this kernel");
}

TEST_CASE("every convolution kernel agrees with the oracle") { for_each_kernel(conv_kernels(), check_random_shapes); }

TEST_CASE("convolutions on pairs of bfloat16 agree with the oracle where no instruction multiplies them") {
  for_each_kernel(std::span(kEmulated), check_random_shapes);
}

ConvShape square(std::int64_t batch, std::int64_t in, std::int64_t size, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                 std::int64_t groups = 1) {
  ConvShape s;
  s.batch = batch;
  s.in_channels = in, s.in_h = s.in_w = size;
  s.out_channels = out, s.kernel_h = s.kernel_w = kernel;
  s.stride_h = s.stride_w = stride;
  s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = kernel / 2;
  s.groups = groups;
  return s;
}

TEST_CASE("layers that are cut into many chunks agree with the oracle") {
  // Several tiles of pixels, several images in a tile, few pixels with many channels, more input than one block of K, rows cut into tiles, Winograd's groups of
  // eight tiles with a rest, planes cut by rows.
  const ConvShape shapes[] = {square(1, 16, 64, 16, 3, 1), square(9, 40, 4, 24, 3, 1),        square(1, 128, 2, 200, 3, 1),
                              square(2, 300, 7, 33, 1, 1), square(1, 3, 96, 8, 7, 2),         square(1, 2, 300, 2, 5, 1, 2),
                              square(3, 10, 19, 12, 3, 1), square(1, 390, 15, 390, 3, 1, 390)};
  const auto check = [&](const ConvKernel& kernel) {
    std::uint64_t seed = 100;
    for (const ConvShape& shape : shapes) {
      ++seed;
      if (!takes(kernel, shape)) continue;
      CAPTURE(seed);
      Rng rng(seed);
      const Problem problem = random_problem(shape, rng, kernel);
      const std::vector<float> result = run(kernel, problem, 3, seed, Order::forward);
      CHECK(count_off(result, problem.expected, allowed_for(kernel, problem)) == 0);
      CHECK(same_bits(result, run(kernel, problem, 3, seed, Order::backward)));
      for (const auto* variant : {&kernel.code->alone, &kernel.code->pair}) {
        if (variant->run) CHECK(same_bits(result, run_as(*variant, kernel, problem, seed)));
      }
    }
  };
  for_each_kernel(conv_kernels(), check);
  for_each_kernel(std::span(kEmulated), check);
}

const ConvKernel& find(const std::string& name) {
  for (const ConvKernel& kernel : conv_kernels()) {
    if (name == kernel.name) return kernel;
  }
  throw std::runtime_error(name);
}

TEST_CASE("weights that are bfloat16 give the bits of the float32 kernel when they are stored so") {
  for_each_kernel(conv_kernels(), [](const ConvKernel& kernel) {
    if (!named(kernel, "igemm_wbf16")) return;
    std::string of_floats = kernel.name;
    const ConvKernel& plain_kernel = find(of_floats.replace(of_floats.find("wbf16"), 5, "f32"));
    for (const ConvShape& shape : {square(1, 72, 5, 130, 3, 1), square(2, 64, 7, 40, 1, 1), square(3, 40, 16, 72, 3, 2)}) {
      Rng rng(5);
      Problem problem = random_problem(shape, rng, kernel);
      problem.weight = rounded(problem.weight, DType::bfloat16);
      CHECK(same_bits(run(kernel, problem, 0, 5, Order::forward), run(plain_kernel, problem, 0, 5, Order::forward)));
    }
  });
}

TEST_CASE("rounding factors to bfloat16 changes sums by what it may") {
  const auto check = [](const ConvKernel& kernel) {
    const ConvShape shape = square(1, 64, 7, 64, 3, 1);
    if (kernel.code->weight_type == DType::float32 || !takes(kernel, shape)) return;
    Rng rng(6), again(6);
    const Problem seen = random_problem(shape, rng, kernel), given = random_problem(shape, again, conv_kernels().back());
    const std::vector<float> result = run(kernel, given, 0, 6, Order::forward);
    double worst = 0;
    for (std::size_t i = 0; i < result.size(); ++i)
      worst = std::max(worst, std::fabs(result[i] - given.expected[i]) / (seen.rounding[i] + seen.allowed[i]));
    CHECK(worst <= 1);
    CHECK(worst > 1e-3);  // it did round
  };
  for_each_kernel(conv_kernels(), check);
  for_each_kernel(std::span(kEmulated), check);
}

TEST_CASE("convolution: the images and the pixels may lie in any order") {
  // NHWC seen as NCHW, and a flipped image: the strides along a row are not 1.
  const ConvShape shape = square(2, 3, 9, 5, 3, 2);
  for_each_kernel(conv_kernels(), [&](const ConvKernel& kernel) {
    if (!plain(kernel) || !takes(kernel, shape)) return;
    Rng rng(3);
    const Problem p = random_problem(shape, rng, kernel);
    std::vector<float> in(p.in.size()), out(p.expected.size());
    ConvArgs args{shape, {in.data(), DType::float32, 4, {2, 3, 9, 9}, {243, 1, 27, 3}, 1}, {}, p.weight.data(), nullptr, {}, {}};
    args.out = {out.data() + 4, DType::float32, 4, {2, 5, 5, 5}, {125, 25, 5, -1}, 1};
    for (std::int64_t i = 0; i < 2 * 3 * 81; ++i)
      in[static_cast<std::size_t>(i / 243 * 243 + i / 81 % 3 + i % 81 * 3)] = p.in[static_cast<std::size_t>(i)];
    std::vector<double> expected(p.expected.size());
    conv_oracle(shape, p.in.data(), p.weight.data(), nullptr, nullptr, {}, expected.data());
    GuardedBytes packed(kernel.code->packed_bytes ? kernel.code->packed_bytes(shape) : 0);
    if (kernel.code->pack) {
      kernel.code->pack(shape, p.weight.data(), packed.data());
      args.weight = packed.data();
    }
    CHECK(run_chunks(*kernel.code, args));
    for (std::size_t i = 0; i < out.size(); i += 5)
      std::reverse(out.begin() + static_cast<std::ptrdiff_t>(i), out.begin() + static_cast<std::ptrdiff_t>(i + 5));
    CHECK(count_off(out, expected, std::vector<double>(expected.size(), 1e-5)) == 0);
  });
}

std::string cheapest(const ConvShape& shape, Isa isa, bool any_layout = false) {
  const ConvKernel* best = nullptr;
  for (const ConvKernel& kernel : conv_kernels()) {
    if (kernel.isa > isa || !(plain(kernel) || any_layout) || kernel.refuse(shape)) continue;
    if (kernel.code->error > 5 || kernel.code->weight_type != DType::float32) continue;  // opt-in
    if (!best || kernel.cost(shape, Machine::typical(isa)) < best->cost(shape, Machine::typical(isa))) best = &kernel;
  }
  return best->name;
}

TEST_CASE("convolution: the costs rank the plain kernels sensibly, for any CPU on this one") {
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    const std::string suffix = std::string("_") + name(isa);
    CHECK(cheapest(square(1, 64, 56, 64, 1, 1), isa) == "conv_pointwise_f32" + suffix);
    CHECK(cheapest(square(1, 128, 28, 128, 3, 1), isa) == "conv_im2col_f32" + suffix);
    CHECK(cheapest(square(1, 96, 112, 96, 3, 1, 96), isa) == "conv_depthwise_f32" + suffix);
    CHECK(cheapest(square(1, 1, 28, 8, 5, 1), isa) == "conv_direct_f32" + suffix);
    CHECK(cheapest(square(1, 512, 2, 512, 3, 1), isa) == "conv_im2col_f32" + suffix);
  }
}

TEST_CASE("float32 in three parts of bfloat16 is float32: products of whole numbers of 24 bits, of any size, and what is no number") {
  const ConvKernel& kernel = find("conv_igemm_bf16x6_avx512_amx");
  if (kernel.isa > choose_isa().isa) {
    MESSAGE("skipped: this CPU has no tile registers");
    return;
  }
  Rng rng(11);
  for (const std::int64_t channels : {8, 16, 32, 48, 71}) {  // a block alone, a pair, both, and a part of one
    CAPTURE(channels);
    Problem p{square(1, channels, 5, 32, 1, 1), {}, {}, {}, {}, {}, {}, {}, {}};
    p.in.assign(static_cast<std::size_t>(channels * 25), 0.0f);
    p.weight = rng.reals(p.shape.weight_count());
    const auto scaled = [&](float x) { return std::ldexp(x, static_cast<int>(rng.integer(-40, 40))); };
    for (float& w : p.weight) w = scaled(w);
    for (std::size_t pixel = 0; pixel < 25; ++pixel)  // one product per sum: an error of a part that is missing would be 2^-16 of it
      p.in[static_cast<std::size_t>(rng.integer(0, channels - 1)) * 25 + pixel] = scaled(rng.reals(1)[0]);
    p.expected.resize(32 * 25);
    conv_oracle(p.shape, p.in.data(), p.weight.data(), nullptr, nullptr, {}, p.expected.data());
    for (const double x : p.expected) p.allowed.push_back(0x1p-21 * std::fabs(x));
    CHECK(count_off(run(kernel, p, 0, 3, Order::forward), p.expected, p.allowed) == 0);
    p.in[0] = std::numeric_limits<float>::quiet_NaN();
    p.in[1] = std::numeric_limits<float>::infinity();
    const std::vector<float> out = run(kernel, p, 0, 3, Order::forward);
    for (std::size_t i = 0; i < out.size(); ++i) CHECK(std::isfinite(out[i]) == (i % 25 > 1));
  }
}

TEST_CASE("pruned layers run in the kernels that leave rows out where that is cheaper, and dense elsewhere") {
  ConvShape strided = square(1, 64, 28, 64, 3, 2), half = square(1, 64, 28, 64, 3, 1), tenth = half,
            pointwise = square(1, 256, 28, 256, 1, 1);
  strided.kept_rows = half.kept_rows = half.k() / 2;
  tenth.kept_rows = tenth.k() / 10;
  pointwise.nonzeros = pointwise.weight_count() / 10;
  CHECK(cheapest(strided, Isa::avx512, true) == "conv_kept_f32_avx512");
  CHECK(cheapest(half, Isa::avx512, true) == "conv_winograd4_f32_avx512");
  CHECK(cheapest(tenth, Isa::avx512, true) == "conv_kept_f32_avx512");
  CHECK(cheapest(pointwise, Isa::avx512, true) == "conv_sparse_f32_avx512");
  ConvShape pixels = square(1, 3, 32, 6, 7, 1);
  pixels.kept_rows = pixels.k() * 7 / 10;
  CHECK(cheapest(pixels, Isa::avx512, true) ==
        "conv_direct_f32_avx512");  // measured: 11 us, 14 without half of the rows, 31 where they are gathered
  pixels.kept_rows = pixels.k() * 3 / 10;
  CHECK(cheapest(pixels, Isa::avx512, true) == "conv_kept_f32_avx512");
}

TEST_CASE("a sparse 1x1 layer runs dense where gathering its pixels and writing its outputs takes longer than the products saved") {
  const auto chosen = [](std::int64_t in, std::int64_t size, std::int64_t out) {
    ConvShape shape = square(1, in, size, out, 1, 1);
    shape.nonzeros = shape.weight_count() / 10;
    return cheapest(shape, Isa::avx512, true);
  };
  CHECK(chosen(64, 56, 64).find("sparse") == std::string::npos);   // measured: 0.77 of the dense speed
  CHECK(chosen(64, 56, 256).find("sparse") == std::string::npos);  // 0.91
  CHECK(chosen(256, 14, 1024) == "conv_sparse_f32_avx512");        // 1.48
  CHECK(chosen(512, 7, 2048) == "conv_sparse_f32_avx512");         // 2.42
}

TEST_CASE("convolution: more than 100 us of work is cut into at least 4 chunks") {
  for (const ConvShape& shape : {square(1, 16, 32, 16, 3, 1), square(1, 64, 8, 64, 3, 1), square(1, 512, 2, 512, 3, 1),
                                 square(1, 256, 14, 1024, 1, 1), square(1, 96, 112, 96, 3, 1, 96), square(1, 3, 224, 64, 7, 2)}) {
    for (const ConvKernel& kernel : conv_kernels()) {
      if (kernel.refuse(shape) || kernel.cost(shape, Machine::typical(kernel.isa)) < 100e-6) continue;
      const std::string kernel_name = kernel.name;
      CAPTURE(kernel_name);
      CAPTURE(shape.in_channels);
      CHECK(kernel.code->chunks(shape) >= 4);
    }
  }
}

}  // namespace
}  // namespace konv::test
