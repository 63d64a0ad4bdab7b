// Do the images of a batch know of one another?
#pragma once

#include <string>

#include "engine/graph/graph.h"

namespace konv {

/// True when a batch may be computed in parts: every input and output begins with the same symbolic size, and no node mixes what belongs to different
/// indices of it. False also where that is not known for certain.
bool has_independent_images(const Graph& graph);

}  // namespace konv
