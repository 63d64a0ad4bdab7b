// Owners of what the plug-in's table hands out. Failures are thrown as konv::Error with the plug-in's words.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include <konv/error.hpp>

#include "kernels/cuda/table.h"

namespace konv::run {

/// One GPU as the backend uses it.
struct CudaDevice {
  const konv_cuda_table* table = nullptr;
  std::int32_t number = 0;
  std::string name;  ///< "cuda:0"

  void check(int status, const char* doing) const {
    if (status != 0) throw Error(name + ": " + doing + ": " + table->last_error() + "; expected it to succeed");
  }
};

class DeviceMemory {
 public:
  DeviceMemory(const CudaDevice& device, std::size_t bytes) : device_(device) {
    device_.check(device_.table->allocate(device_.number, bytes, &data_), "allocating memory");
  }
  ~DeviceMemory() { device_.table->release(device_.number, data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  const CudaDevice device_;
  void* data_ = nullptr;
};

/// Host memory that copies run from and to while the CPU does something else.
class PinnedMemory {
 public:
  PinnedMemory(const CudaDevice& device, std::size_t bytes) : device_(device) {
    device_.check(device_.table->allocate_pinned(bytes, &data_), "allocating pinned memory");
  }
  ~PinnedMemory() { device_.table->release_pinned(data_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  const CudaDevice device_;
  void* data_ = nullptr;
};

class CudaStream {
 public:
  explicit CudaStream(const CudaDevice& device) : device_(device) {
    device_.check(device_.table->stream_create(device_.number, &stream_), "creating a stream");
  }
  ~CudaStream() { device_.table->stream_destroy(stream_); }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  void* get() const { return stream_; }

 private:
  const CudaDevice device_;
  void* stream_ = nullptr;
};

/// What was captured; launched as one.
class CudaGraph {
 public:
  CudaGraph(const CudaDevice& device, void* graph) : device_(device), graph_(graph) {}
  ~CudaGraph() { device_.table->graph_destroy(graph_); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  void* get() const { return graph_; }

 private:
  const CudaDevice device_;
  void* graph_;
};

/// A matrix product with its algorithm settled, in one stream.
class CudaProduct {
 public:
  CudaProduct(const CudaDevice& device, void* stream, const konv_cuda_product& product) : device_(device) {
    device_.check(device_.table->product_create(stream, &product, &made_), "preparing a product");
  }
  ~CudaProduct() {
    if (made_) device_.table->product_destroy(made_);
  }
  CudaProduct(CudaProduct&& other) noexcept : device_(other.device_), made_(std::exchange(other.made_, nullptr)) {}
  CudaProduct& operator=(CudaProduct&&) = delete;
  void run() const { device_.check(device_.table->product_run(made_), "a product by cuBLASLt"); }

 private:
  CudaDevice device_;
  void* made_ = nullptr;
};

class CudaEvent {
 public:
  explicit CudaEvent(const CudaDevice& device) : device_(device) {
    device_.check(device_.table->event_create(device_.number, &event_), "creating an event");
  }
  ~CudaEvent() {
    if (event_) device_.table->event_destroy(event_);
  }
  CudaEvent(CudaEvent&& other) noexcept : device_(other.device_), event_(std::exchange(other.event_, nullptr)) {}
  CudaEvent& operator=(CudaEvent&&) = delete;
  void* get() const { return event_; }

 private:
  CudaDevice device_;
  void* event_ = nullptr;
};

}  // namespace konv::run
