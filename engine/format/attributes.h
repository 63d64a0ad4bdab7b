// Operators in model files: a name and a list of attributes, both made from describe() and KONV_OPS, so that a new operator is
// readable and writable the moment it exists.
#pragma once

#include <vector>

#include "engine/format/model_generated.h"
#include "engine/graph/ops.h"

namespace konv::format {

/// Every field of the operator, defaults too: a default that changes later does not change the meaning of old files.
std::vector<flatbuffers::Offset<schema::Attribute>> write_attributes(flatbuffers::FlatBufferBuilder& builder, const Op& op);

/// The operator of a verified node; fields that the file leaves out have their defaults. Throws konv::Error for an operator, an
/// attribute or an enumerator that is unknown, repeated or of another type, not naming the node.
Op read_op(const schema::Node& node);

}  // namespace konv::format
