// .konv files: a FlatBuffer (model.fbs) and behind it the weights, 64-byte aligned, mapped without copying.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace konv::format {

/// The bytes of a file. The graph is compacted; weights shared by several constants are stored once.
std::vector<std::byte> serialize(const Graph& graph);

/// Writes a file whole or not at all (temporary beside it, then rename). Throws konv::Error naming the file.
void save(const Graph& graph, const std::string& path);

/// Maps and checks a file (FlatBuffers verifier, then graph verify): untrusted bytes give a konv::Error naming the file, never more.
/// The graph's constants point into the mapping and keep it alive.
Graph load(const std::string& path);

/// The same for bytes in memory (64-byte aligned, else copied once); `name` stands for the file in errors.
Graph load(std::shared_ptr<const std::byte> bytes, std::size_t size, const std::string& name);

}  // namespace konv::format
