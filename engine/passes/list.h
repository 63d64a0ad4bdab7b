// Every pass's match function; pipeline.cpp puts them in order.
#pragma once

#include <optional>
#include <string>

#include "engine/passes/passes.h"

namespace konv::passes {

std::optional<Edit> remove_dead_nodes(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> remove_identity(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fold_constants(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> merge_duplicates(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> cancel_transposes(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> merge_reshapes(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> recognize_activations(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> global_pool(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fuse_pad(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> merge_batch_norms(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fold_batch_norm(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fold_leading_batch_norm(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fold_scale(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fuse_repvgg(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fuse_residual(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> fuse_activation(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> store_activations(const Graph& graph, NodeId id, const Context& context);
std::optional<Edit> integer_layers(const Graph& graph, NodeId id, const Context& context);

/// Why these passes leave a node that they are made for; "" for all others.
std::string not_stored(const Graph& graph, NodeId id);
std::string integers_refused(const Graph& graph, NodeId id);

}  // namespace konv::passes
