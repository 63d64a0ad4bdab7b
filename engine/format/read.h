// From a verified FlatBuffer to a Graph.
#pragma once

#include "engine/format/file.h"
#include "engine/format/model_generated.h"
#include "engine/graph/graph.h"

namespace konv::format {

/// `model` has passed the FlatBuffers verifier and is `structure_size` bytes long; everything else about it is checked here, but for
/// what konv::verify() checks. Constants share `weights`. Throws konv::Error naming node or value, not the file.
Graph read_graph(const schema::Model& model, std::size_t structure_size, const Bytes& weights);

}  // namespace konv::format
