// The parts of verify(). Not for other rooms.
#pragma once

#include "engine/graph/graph.h"

namespace konv {

// verify_attributes.cpp: numbers and enums of one operator, whatever its inputs are.
void verify_attributes(const Node& node);

// verify_values.cpp
/// Element type, constant, quantization and kept rows of one value, as far as they can be judged without inference.
void verify_value(const Value& value);
/// A quantization along an axis, against the inferred shape.
void verify_quantization_axis(const Value& value);

}  // namespace konv
