// What a value of a model file says beside its name, checked.
#pragma once

#include "engine/format/file.h"
#include "engine/format/model_generated.h"
#include "engine/graph/graph.h"

namespace konv::format {

// All of these throw konv::Error without naming the value. A value without the part in question has none.

DType read_dtype(const schema::Value& value);
/// -1 and names of sizes as model.fbs has it.
Shape read_shape(const schema::Value& value, const std::vector<std::string>& symbols);
std::optional<Tensor> read_constant(const schema::Value& value, const Bytes& weights);
std::optional<Quantization> read_quantization(const schema::Value& value);
std::optional<KeptRows> read_kept_rows(const schema::Value& value);

}  // namespace konv::format
