// The first convolution, of at most 4 input channels: it reads the network's input as it comes, so that nobody has to rearrange it.
//   in float32 [n][c][h][w]   weight float32 [c][tap][out_channels up to whole 8]   out [n][oh][ow][out_pitch]
// A block's 32 x 4 output pixels share their input pixels and all weights in shared memory; a thread sums 8 channels of one pixel at a time.
#include "kernels/cuda/activate.h"
#include "kernels/cuda/conv/first.h"
#include "kernels/cuda/conv/window.h"

namespace konv::cuda {

template <class T>
KONV_DEVICE void conv_first(const ConvParams& p) {
  KONV_SHARED(memory);
  const ConvGeometry& g = p.g;
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t padded = (g.out_channels + kFirstLane - 1) / kFirstLane * kFirstLane;
  const std::int32_t taps = g.kernel_h * g.kernel_w, weights = g.in_channels * taps * padded;
  auto* weight = reinterpret_cast<float*>(memory);
  float* image = weight + weights;
  for (std::int32_t i = 4 * thread; i < weights; i += 4 * 128)
    store_shared(weight + i, load(reinterpret_cast<const Chunk*>(static_cast<const float*>(p.weight) + i)));

  const FirstTile tile = first_tile(g);
  const std::int32_t ox0 = static_cast<std::int32_t>(blockIdx.x) * kFirstWidth, oy0 = static_cast<std::int32_t>(blockIdx.y) * kFirstHeight;
  const std::int32_t x0 = ox0 * g.stride_w - g.pad_left, y0 = oy0 * g.stride_h - g.pad_top;
  const float* in = static_cast<const float*>(p.in) + static_cast<std::int64_t>(blockIdx.z) * g.in_channels * g.in_h * g.in_w;
  for (std::int32_t i = thread; i < g.in_channels * tile.height * tile.width; i += 128) {
    const std::int32_t x = i % tile.width, y = i / tile.width % tile.height, c = i / tile.width / tile.height;
    const bool there = inside(g, y0 + y, x0 + x);
    const float value = there ? load(in + (static_cast<std::int64_t>(c) * g.in_h + y0 + y) * g.in_w + x0 + x) : 0.0f;
    store_shared(image + (c * tile.height + y) * tile.pitch + x, value);
  }
  sync_threads();

  const std::int32_t tx = thread % kFirstWidth, ty = thread / kFirstWidth;
  const std::int32_t ox = ox0 + tx, oy = oy0 + ty;
  if (ox >= g.out_w || oy >= g.out_h) return;
  const std::int64_t pixel = (static_cast<std::int64_t>(blockIdx.z) * g.out_h + oy) * g.out_w + ox;
  for (std::int32_t channel = 0; channel < g.out_pitch; channel += kFirstLane) {
    float sum[kFirstLane] = {};
    if (channel < padded) {
      for (std::int32_t c = 0; c < g.in_channels; ++c) {
        for (std::int32_t ky = 0; ky < g.kernel_h; ++ky) {
          for (std::int32_t kx = 0; kx < g.kernel_w; ++kx) {
            const std::int32_t row = c * tile.height + ty * g.stride_h + ky * g.dilation_h;
            const float x = load_shared<float>(image + row * tile.pitch + tx * g.stride_w + kx * g.dilation_w);
            const float* tap = weight + (c * taps + ky * g.kernel_w + kx) * padded + channel;
            for (int i = 0; i < kFirstLane; i += 4) {
              float w[4];
              unpack(load_shared<Chunk>(tap + i), w, float{});
              for (int j = 0; j < 4; ++j) sum[i + j] += x * w[j];
            }
          }
        }
      }
    }
    const std::int64_t at = pixel * g.out_pitch + channel;
    constexpr int kLane = kLanes<T>;
    for (int part = 0; part < kFirstLane && channel + part < g.out_pitch; part += kLane) {
      float value[kLane], residual[kLane] = {};
      if (p.epilogue.residual) load_chunk(static_cast<const T*>(p.epilogue.residual) + at + part, residual);
      for (int i = 0; i < kLane; ++i) {
        const std::int32_t c = channel + part + i;
        const float bias = c < g.out_channels && p.epilogue.bias ? load(p.epilogue.bias + c) : 0.0f;
        value[i] = c < g.out_channels ? activate(p.epilogue.activation, sum[part + i] + bias + residual[i]) : 0.0f;
      }
      store_chunk(static_cast<T*>(p.out) + at + part, value);
    }
  }
}

KONV_GLOBAL(conv_first_f32, ConvParams, 128) { conv_first<float>(p); }
KONV_GLOBAL(conv_first_f16, ConvParams, 128) { conv_first<Half>(p); }

}  // namespace konv::cuda
