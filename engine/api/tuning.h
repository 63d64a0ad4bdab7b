// What SessionOptions::plan_file and tune decide: which kernel each convolution gets.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <konv/konv.hpp>

#include "engine/base/thread_pool.h"
#include "engine/plan/plan.h"
#include "engine/run/network.h"

namespace konv::api {

/// Kernels by node: those of the plan file, or measured now and written to it; empty when neither is asked for. `description` stands for the model
/// (Model::describe()). Throws konv::Error for a file that holds no plan for this model, shapes, threads, CPU and build, unless tuning makes one.
std::map<std::string, std::string> tuned_kernels(const run::Network& network, const std::string& description,
                                                 const std::vector<Dims>& shapes, const Machine& machine, const SessionOptions& options,
                                                 ThreadPool* pool);

}  // namespace konv::api
