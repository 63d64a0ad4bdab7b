// Graph passes: rewrites that are true on every machine, so that their result may be saved.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/edit.h"
#include "engine/graph/graph.h"
#include "engine/graph/infer.h"

namespace konv::passes {

/// Runs a graph that has no inputs and returns its outputs: constant folding is handed one, since passes cannot run networks.
using Evaluate = std::function<std::vector<Tensor>(const Graph&)>;

struct Context {
  Evaluate evaluate;                 ///< may be empty: then only what shape inference knows is folded
  std::span<const Fact> facts = {};  ///< of the values there were when the sweep began; run() fills it in
};

/// One rewrite. `match` inspects the surroundings of one node and returns the edit, or nothing when the pattern is not all there.
/// The node is the one that stays and takes in others, or the one that goes.
struct Pass {
  const char* name;
  const char* verb;     ///< for reports: "<node>: folded <nodes that went>"; what follows a comma is left out where none went
  const char* summary;  ///< one line, for --list-passes
  const char* place;    ///< why it stands where it stands in the pipeline
  std::optional<Edit> (*match)(const Graph& graph, NodeId node, const Context& context);
  /// Why the pass leaves a node alone that a user would expect it to take, "" for others; null where that needs no word.
  std::string (*refused)(const Graph& graph, NodeId node) = nullptr;
};

struct Report {
  std::string pass;
  std::vector<std::string> fired;    ///< one line per edit, e.g. "layer1.0.conv1: folded layer1.0.bn1"
  std::vector<std::string> refused;  ///< one line per node left alone with a reason, e.g. "node 'act' (Sigmoid): it has no integer kernel"
};

/// All passes in the order they run in.
std::span<const Pass> pipeline();

/// "default" (all), "none", or names separated by commas, run in the order given. Throws konv::Error for an unknown name.
std::vector<const Pass*> select(std::string_view list);

/// Runs each pass over all nodes until it no longer fires, verifies the graph before the first and after every sweep, and appends the
/// passes that changed something to metadata.passes. One report per pass, empty where it did not fire.
std::vector<Report> run(Graph& graph, std::span<const Pass* const> passes, const Context& context);

}  // namespace konv::passes
