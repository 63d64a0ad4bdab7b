// Which channels of which values belong together: those that an addition joins, a pool, a pad or a depthwise convolution passes on, or a flattening spreads out
// can only leave a network together.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "engine/graph/graph.h"

namespace konv::compress {

class ChannelGroups {
 public:
  explicit ChannelGroups(const Graph& graph);

  int count() const { return count_; }
  /// The group of every index along dimension 1 of an activation; empty for other values.
  const std::vector<std::int32_t>& of(ValueId id) const { return groups_[static_cast<std::size_t>(id.index)]; }
  /// Inputs and outputs of the graph, and what an operator reads whose channels cannot be followed.
  bool fixed(std::int32_t group) const { return fixed_[static_cast<std::size_t>(group)]; }

 private:
  std::vector<std::vector<std::int32_t>> groups_;
  std::vector<bool> fixed_;
  int count_ = 0;
};

/// The graph without these groups: the same nodes, smaller weights, pads and values. Node ids are unchanged.
Graph without_channels(const Graph& graph, const ChannelGroups& groups, const std::vector<bool>& gone);

/// Indices along dimension 1 of the value that stay.
std::vector<std::int32_t> kept_channels(const ChannelGroups& groups, ValueId value, const std::vector<bool>& gone);

}  // namespace konv::compress
