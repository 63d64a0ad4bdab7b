// The calibration images on their way through a network, one node at a time: what every value is for every image. Nodes run through run/, as they will
// run in the finished model.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/graph/graph.h"
#include "kernels/base/machine.h"

namespace konv::compress {

/// One value for all images, image after image: row-major elements of `dtype`.
struct Samples {
  DType dtype = DType::float32;
  Dims dims;  ///< of one image, the batch left out
  std::shared_ptr<std::byte> bytes;
  std::int64_t images = 0;

  std::int64_t elements() const { return element_count(dims); }  ///< of one image
  const float* f32(std::int64_t image) const { return reinterpret_cast<const float*>(bytes.get()) + image * elements(); }
  float* f32(std::int64_t image) { return reinterpret_cast<float*>(bytes.get()) + image * elements(); }
  const std::byte* at(std::int64_t image) const;
  /// All images.
  std::span<const float> reals() const { return {f32(0), static_cast<std::size_t>(elements() * images)}; }
  std::span<float> reals() { return {f32(0), static_cast<std::size_t>(elements() * images)}; }
};

Samples make_samples(DType dtype, Dims dims, std::int64_t images);

/// Real numbers of one image, or of `count` of its elements. `quantization` may be null, for float32.
void to_reals(const Samples& activation, const Quantization* quantization, std::int64_t image, float* out);
void to_reals(const Samples& activation, const Quantization* quantization, std::int64_t image, std::int64_t first, std::int64_t count,
              float* out);

class Streams {
 public:
  Streams(std::int64_t images, ThreadPool& pool, Machine machine) : images_(images), pool_(pool), machine_(machine) {}

  std::int64_t images() const { return images_; }
  ThreadPool& pool() const { return pool_; }
  const Machine& machine() const { return machine_; }

  /// What node `id` of `graph` gives for these inputs. `output`: another type and scale than the graph's, null for float32.
  /// Throws konv::Error naming the node where images do not stay apart.
  Samples run(const Graph& graph, NodeId id, const std::map<ValueId, const Samples*>& inputs) const;

 private:
  std::int64_t images_;
  ThreadPool& pool_;
  Machine machine_;
};

/// Node `id` by itself: what it reads of activations become inputs (their values in `activations`, in the order of inputs), constants and shape arithmetic come along.
Graph alone(const Graph& graph, NodeId id, std::vector<ValueId>& activations);

/// Whether a value holds activations: computed or an input, real numbers or quantized.
bool is_activation(const Graph& graph, ValueId id);

}  // namespace konv::compress
