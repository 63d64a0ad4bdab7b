// What stands behind the public Model.
#pragma once

#include <memory>
#include <vector>

#include <konv/konv.hpp>

#include "engine/passes/passes.h"
#include "engine/run/network.h"

namespace konv {

struct Model::Impl {
  explicit Impl(Graph graph) : network(std::make_shared<run::Network>(std::move(graph))) {}
  const Graph& graph() const { return network->graph(); }
  std::shared_ptr<run::Network> network;
};

namespace api {

static_assert(static_cast<int>(Type::boolean) == static_cast<int>(DType::boolean), "Type and DType are numbered alike");
inline Type to_type(DType dtype) { return static_cast<Type>(dtype); }

/// The instruction set to plan for: this machine's, or the one named. Throws konv::Error for KONV_FORCE_ISA that cannot be followed.
Machine machine_for(const std::string& isa = {});

/// This machine with its peak and bandwidths as measured when first asked for, which takes 0.1 s. For limits and shares, never for choices.
const Machine& measured_machine();

/// Operations per second of one core on bytes, as its kernels do them.
double measured_integer_rate();

/// Input shapes with every open size set to 1.
std::vector<Dims> smallest_shapes(const Graph& graph);

/// The same, empty where an input has no shape at all.
std::vector<Dims> known_shapes(const Graph& graph);

TensorInfo info_of(const Graph& graph, ValueId value);

}  // namespace api
}  // namespace konv
