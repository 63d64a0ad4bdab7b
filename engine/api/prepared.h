// One shape of a network made ready on one device: what a Session runs.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/base/aligned.h"
#include "engine/run/context.h"
#include "engine/run/cuda/context.h"
#include "engine/run/slices.h"

namespace konv {

class Prepared {
 public:
  virtual ~Prepared() = default;
  virtual const plan::Plan& plan() const = 0;
  virtual void set_input(std::size_t index, const void* bytes, ThreadPool* pool) = 0;
  virtual void get_output(std::size_t index, void* bytes) const = 0;
  virtual std::int64_t output_bytes(std::size_t index) const = 0;
  virtual void run(ThreadPool* pool) = 0;
  virtual void run_timed(ThreadPool* pool, std::span<double> seconds) = 0;
  /// Images of the batch for every image of plan(), and arenas in use: 1, unless the batch is run in slices.
  virtual double batches() const { return 1; }
  virtual std::int64_t arenas() const { return 1; }

  /// To be called once the plan is there.
  void make_outputs() {
    for (std::size_t i = 0; i < plan().outputs.size(); ++i) outputs.push_back(aligned_bytes(output_bytes(i)));
    seconds.resize(plan().steps.size());
  }

  std::vector<std::shared_ptr<std::byte>> outputs;
  std::vector<double> seconds;  ///< per step, of the last run
};

template <class Context>
class PreparedOn final : public Prepared {
 public:
  template <class... Arguments>
  explicit PreparedOn(Arguments&&... arguments) : context_(std::forward<Arguments>(arguments)...) {
    make_outputs();
  }
  const plan::Plan& plan() const override { return context_.executable().plan(); }
  void set_input(std::size_t index, const void* bytes, [[maybe_unused]] ThreadPool* pool) override {
    if constexpr (std::is_same_v<Context, run::Context>) {
      context_.set_input(index, bytes, pool);
    } else {
      context_.set_input(index, bytes);
    }
  }
  void get_output(std::size_t index, void* bytes) const override { context_.get_output(index, bytes); }
  std::int64_t output_bytes(std::size_t index) const override { return context_.output_bytes(index); }
  void run([[maybe_unused]] ThreadPool* pool) override {
    if constexpr (!std::is_same_v<Context, run::CudaContext>) {
      context_.run(pool);
    } else {
      context_.run();
    }
  }
  void run_timed([[maybe_unused]] ThreadPool* pool, std::span<double> step_seconds) override {
    if constexpr (!std::is_same_v<Context, run::CudaContext>) {
      context_.run_timed(pool, step_seconds);
    } else {
      context_.run_timed(step_seconds);
    }
  }
  double batches() const override {
    if constexpr (std::is_same_v<Context, run::SlicedContext>) {
      return static_cast<double>(context_.images()) /
             static_cast<double>(plan().values[static_cast<std::size_t>(plan().inputs[0])].dims[0]);
    } else {
      return 1;
    }
  }
  std::int64_t arenas() const override {
    if constexpr (std::is_same_v<Context, run::SlicedContext>) {
      return context_.arenas();
    } else {
      return 1;
    }
  }

 private:
  Context context_;
};

using PreparedOnCpu = PreparedOn<run::Context>;
using PreparedInSlices = PreparedOn<run::SlicedContext>;
using PreparedOnCuda = PreparedOn<run::CudaContext>;

}  // namespace konv
