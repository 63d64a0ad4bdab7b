// Networks on a device: the interpreted one, or a GPU that is there.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/plan/cuda/make.h"
#include "engine/run/cuda/context.h"
#include "tests/support/simt/interpreter.h"

namespace konv::test {

using cuda::Precision;

inline constexpr Precision kAllPrecisions[] = {Precision::float32, Precision::tf32, Precision::float16};

/// Where the networks run: the interpreter, with threads in this order, or (test_gpu) the machine's first GPU.
run::CudaDevice network_device(simt::Order order);
/// What plans are made for: the H200's description, or that GPU.
plan::CudaTarget network_target(Precision precision);
/// False where there is nothing to run on; says so once, and ctest counts that as skipped.
bool can_run_networks();

std::map<ValueId, Dims> shapes_of(const Graph& graph, const std::map<std::string, Tensor>& inputs);

std::unique_ptr<run::CudaContext> prepare(const Graph& graph, const std::map<ValueId, Dims>& shapes, const plan::CudaTarget& target,
                                          simt::Order order = simt::Order::forward);

std::vector<Tensor> run_once(run::CudaContext& context, const std::map<std::string, Tensor>& inputs);

/// Runs the graph in every precision against the reference runner; `depth` layers add up. Returns the kernels that ran.
std::set<std::string> check_against_reference(const Graph& source, unsigned seed, double depth = 4, std::int64_t batch = 2);

/// tf32 keeps as many bits of a factor as float16.
inline double allowed(Precision p, double depth) { return p == Precision::float32 ? 1e-5 * depth : 1e-3 * depth; }

}  // namespace konv::test
