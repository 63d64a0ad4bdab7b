// Plans as JSON: printed by `konv inspect --plan`, saved beside a model and replayed.
#pragma once

#include <string>

#include "engine/plan/plan.h"

namespace konv::plan {

std::string to_json(const Plan& plan);

/// Reads back what to_json wrote. Throws konv::Error for anything else; whether the plan fits a graph is for run/ to find out.
Plan from_json(const std::string& text);

}  // namespace konv::plan
