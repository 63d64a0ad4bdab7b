// Values that stand for real numbers by a scale, and the operators between the two. Only files of this folder include this.
#pragma once

#include <optional>
#include <string>

#include "engine/graph/edit.h"
#include "engine/passes/match.h"

namespace konv::passes {

/// How a value is stored.
struct Storage {
  DType dtype = DType::uint8;
  Quantization quantization;
};

/// An activation stored in integers: it is written and read by nodes that compute with what the integers stand for.
bool is_stored(const Graph& graph, ValueId id);

bool same_storage(const Value& a, const Value& b);

/// Scales and zero points of a Quantize or Dequantize, when they are constants that a stored value can have; else `why` not.
std::optional<Quantization> constant_scales(const Graph& graph, const Node& node, std::string& why);

/// What activations of `type` with one scale become: unsigned integers of 8, 4 or 2 bits, or int16. `low` and `high` bound the integers that occur; they
/// move along. Nothing, and `why` not, for types that no kernel reads.
struct Activations {
  Storage storage;
  bool whole_range = true;  ///< low and high are the ends of the type, so that storing clamps to them
};
std::optional<Activations> stored_activations(DType type, const Quantization& scale, std::int64_t low, std::int64_t high, std::string& why);

std::int64_t least(DType type);
std::int64_t most(DType type);

/// A constant Dequantize that only layers read, as their weight, also through a Transpose: the weight stored in integers, in as few bits as hold them,
/// around a zero point of 0, or of -1 where the grid is mirrored. Nothing for other nodes and for what cannot be stored.
std::optional<Edit> store_weight(const Graph& graph, NodeId id);

}  // namespace konv::passes
