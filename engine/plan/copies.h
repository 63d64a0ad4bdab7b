// Copies of copies: what a slice of a slice, or a padded slice, takes from its input directly.
#pragma once

#include "engine/plan/plan.h"

namespace konv::plan {

/// Where a copy between blocked images takes part of its input and nobody but another such copy reads the result, that one reads the first one's input.
/// The shortcuts of ResNet-20 are such: rows, then columns, then more channels. Layouts are not final yet.
void join_copies(Plan& plan);

}  // namespace konv::plan
