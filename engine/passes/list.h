// Every pass's match function; pipeline.cpp puts them in order.
#pragma once

#include <optional>

#include "engine/passes/passes.h"

namespace konv::passes {

std::optional<Edit> remove_dead_nodes(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> remove_identity(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fold_constants(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fold_batch_norm(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fuse_repvgg(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fuse_residual(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fuse_activation(const Graph& graph, NodeId id, const Context& context);

}  // namespace konv::passes
