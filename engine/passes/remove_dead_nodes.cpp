// remove-dead-nodes:  node nobody reads   =>   (nothing)
//
// What only such nodes read goes with them.

#include <algorithm>

#include "engine/passes/list.h"

namespace konv::passes {

std::optional<Edit> remove_dead_nodes(const Graph& graph, NodeId id, const Context&) {
  const std::vector<ValueId>& outputs = graph.node(id).outputs;
  const bool read = std::any_of(outputs.begin(), outputs.end(), [&](ValueId output) { return graph.reader_count(output) > 0; });
  if (read) return {};

  Edit edit(graph);
  edit.remove(id);
  return edit;
}

}  // namespace konv::passes
