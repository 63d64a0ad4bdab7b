#include "engine/format/format.h"

#include <cstdint>
#include <cstring>

#include <konv/error.hpp>

#include "engine/base/aligned.h"
#include "engine/format/file.h"
#include "engine/format/header.h"
#include "engine/format/limits.h"
#include "engine/format/model_generated.h"
#include "engine/format/read.h"
#include "engine/format/write.h"

namespace konv::format {
namespace {

/// The verifier's own limits. A table takes 8 bytes at least, so that more of them means that some are used again and again.
flatbuffers::Verifier::Options limits(std::size_t structure_size) {
  flatbuffers::Verifier::Options options;
  options.max_depth = 8;
  options.max_tables = static_cast<flatbuffers::uoffset_t>(structure_size / 8 + 1);
  return options;
}

/// Constants point into `file`, whatever its alignment.
Graph parse(const Bytes& file, const std::string& name) {
  try {
    const Sections sections = find_sections(file);
    const auto* structure = reinterpret_cast<const std::uint8_t*>(sections.structure);
    flatbuffers::Verifier verifier(structure, sections.structure_size, limits(sections.structure_size));
    if (!schema::VerifyModelBuffer(verifier)) throw Error("is damaged; expected a FlatBuffer as model.fbs has it");
    Graph graph = read_graph(*schema::GetModel(structure), sections.structure_size, sections.weights);
    verify(graph);
    return graph;
  } catch (const Error& error) {
    throw Error(name + ": " + error.what());
  }
}

}  // namespace

std::vector<std::byte> serialize(const Graph& graph) {
  const Image image(graph);
  std::vector<std::byte> bytes;
  bytes.reserve(image.size());
  image.write([&](std::span<const std::byte> piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); });
  const auto no_owner = [](const std::byte*) {};
  parse({std::shared_ptr<const std::byte>(bytes.data(), no_owner), bytes.size()}, "the model");  // what is written can be read
  return bytes;
}

void save(const Graph& graph, const std::string& path) {
  try {
    const Image image(graph);
    NewFile file(path);
    image.write([&](std::span<const std::byte> piece) { file.write(piece); });
    parse(map_file(file.temporary()), "the model");  // what gets the name can be read
    file.commit();
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
}

Graph load(const std::string& path) {
  Bytes file;
  try {
    file = map_file(path);
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
  return parse(file, path);
}

Graph load(std::shared_ptr<const std::byte> bytes, std::size_t size, const std::string& name) {
  if (reinterpret_cast<std::uintptr_t>(bytes.get()) % kAlignment != 0) {
    const std::shared_ptr<std::byte> copy = aligned_bytes(static_cast<std::int64_t>(size));
    std::memcpy(copy.get(), bytes.get(), size);
    bytes = copy;
  }
  return parse({std::move(bytes), size}, name);
}

}  // namespace konv::format
