// The public face of the converter: files to Model, through the bytes of a .konv file, since libkonv's Graph is not exported.
#include <algorithm>
#include <filesystem>
#include <span>

#include <fmt/format.h>

#include <konv/convert.hpp>

#include "converter/import.h"
#include "engine/base/aligned.h"
#include "engine/format/file.h"
#include "engine/format/format.h"
#include "engine/graph/infer.h"

namespace konv {
namespace {

bool is_onnx(const std::filesystem::path& path) { return path.extension() == ".onnx"; }

Graph import(const std::string& path, const ConvertOptions& options) {
  if (is_onnx(path)) {
    if (!options.arch.empty()) throw Error(path + ": an ONNX file holds its graph; expected no --arch");
    return converter::import_onnx(path);
  }
  const models::StateDict weights = converter::read_checkpoint(path);
  if (options.arch.empty()) {
    std::string names;
    for (const models::Architecture& a : models::architectures()) names += (names.empty() ? "" : ", ") + std::string(a.name);
    throw Error(fmt::format("{}: a checkpoint holds no graph; expected --arch, one of {}", path, names));
  }
  try {
    Graph graph = models::find_architecture(options.arch).build(weights);
    graph.metadata.source = fmt::format("{} ({})", std::filesystem::path(path).filename().string(), options.arch);
    return graph;
  } catch (const Error& e) {
    throw Error(path + ": " + e.what());
  }
}

void set_input_shape(Graph& graph, const std::vector<std::int64_t>& shape) {
  if (graph.inputs().empty()) throw Error("--input-shape: the model has no inputs; expected none");
  const ValueId input = graph.inputs().front();
  for (std::int64_t d : shape) {
    if (d < 1) throw Error(fmt::format("--input-shape: {} is no size; expected sizes from 1", d));
  }
  // infer() checks that the shape agrees with what the graph declares.
  infer(graph, {{input, shape}});
  graph.set_input_shape(input, to_shape(shape));
  verify(graph);
}

void set_labels(Graph& graph, const std::vector<std::string>& labels) {
  const std::optional<Shape>& shape = graph.value(graph.outputs().front()).shape;
  if (shape && !shape->empty() && shape->back().known() && shape->back().value() != static_cast<std::int64_t>(labels.size())) {
    throw Error(fmt::format("--labels: {} labels for an output of {}; expected one per class", labels.size(), shape->back().value()));
  }
  graph.metadata.labels = labels;
}

void set_preprocessing(Graph& graph, const ConvertOptions& options) {
  const Shape& shape = graph.value(graph.inputs().front()).shape.value_or(Shape{});
  const auto channels = shape.size() == 4 && shape[1].known() ? static_cast<std::size_t>(shape[1].value()) : 3;
  Preprocessing p;
  p.mean = options.mean;
  p.std = options.std;
  if ((!p.mean.empty() && p.mean.size() != channels) || (!p.std.empty() && p.std.size() != channels)) {
    throw Error(fmt::format("--mean, --std: {} and {} values; expected {}, one per channel", p.mean.size(), p.std.size(), channels));
  }
  if (std::any_of(p.std.begin(), p.std.end(), [](float s) { return !(s > 0); }))
    throw Error("--std: holds a value that is not above 0; expected standard deviations");
  if (shape.size() == 4 && shape[2].known() && shape[3].known()) {
    p.height = static_cast<std::int32_t>(shape[2].value());
    p.width = static_cast<std::int32_t>(shape[3].value());
  }
  graph.metadata.preprocessing = p;
}

}  // namespace

Model convert(const std::string& path, const ConvertOptions& options) {
  Graph graph = import(path, options);
  verify(graph);
  if (!options.input_shape.empty()) set_input_shape(graph, options.input_shape);
  if (!options.labels.empty()) set_labels(graph, options.labels);
  if (!options.mean.empty() || !options.std.empty()) set_preprocessing(graph, options);
  const std::vector<std::byte> bytes = format::serialize(graph);
  graph = Graph();  // its weights are in the bytes now
  return Model::from_bytes(bytes, path);
}

void export_onnx(const Model& model, const std::string& path) {
  const std::vector<std::byte> bytes = model.to_bytes();
  const std::shared_ptr<std::byte> aligned = aligned_bytes(static_cast<std::int64_t>(bytes.size()));
  std::copy(bytes.begin(), bytes.end(), aligned.get());
  const std::string onnx = converter::export_onnx(format::load(aligned, bytes.size(), "the model"));
  try {
    format::NewFile file(path);
    file.write(std::as_bytes(std::span(onnx.data(), onnx.size())));
    file.commit();
  } catch (const Error& e) {
    throw Error(path + ": " + e.what());
  }
}

std::vector<std::pair<std::string, std::string>> architectures() {
  std::vector<std::pair<std::string, std::string>> list;
  for (const models::Architecture& a : models::architectures()) list.emplace_back(a.name, a.summary);
  return list;
}

}  // namespace konv
