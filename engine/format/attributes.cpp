#include "engine/format/attributes.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <konv/error.hpp>

#include "engine/base/text.h"
#include "engine/format/flat.h"
#include "engine/format/limits.h"
#include "engine/graph/fields.h"

namespace konv::format {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

class AttributeWriter {
 public:
  AttributeWriter(FlatBufferBuilder& builder, std::vector<Offset<schema::Attribute>>& attributes)
      : builder_(builder), attributes_(attributes) {}

  template <class T>
  void operator()(const char* name, const T& field) {
    const auto shared_name = builder_.CreateSharedString(name);
    Offset<flatbuffers::String> enumerator;
    Offset<flatbuffers::Vector<std::int64_t>> integers;
    if constexpr (std::is_enum_v<T>) enumerator = builder_.CreateSharedString(enum_names(field)[static_cast<std::size_t>(field)]);
    if constexpr (std::is_same_v<T, Ints>) integers = builder_.CreateVector(field);

    schema::AttributeBuilder attribute(builder_);
    attribute.add_name(shared_name);
    if constexpr (std::is_enum_v<T>) {
      attribute.add_enumerator(enumerator);
    } else if constexpr (std::is_same_v<T, Ints>) {
      attribute.add_integers(integers);
    } else if constexpr (std::is_same_v<T, bool>) {
      attribute.add_boolean(field);
    } else if constexpr (std::is_same_v<T, std::int64_t>) {
      attribute.add_integer(field);
    } else if constexpr (std::is_same_v<T, float>) {
      attribute.add_float32(field);
    } else {
      static_assert(std::is_same_v<T, double>, "a field type that files do not know");
      attribute.add_float64(field);
    }
    attributes_.push_back(attribute.Finish());
  }

 private:
  FlatBufferBuilder& builder_;
  std::vector<Offset<schema::Attribute>>& attributes_;
};

/// The kinds of values that are present, e.g. "an integer". Exactly one is expected.
std::string kind_of(const schema::Attribute& attribute) {
  std::vector<const char*> kinds;
  if (attribute.boolean()) kinds.push_back("a boolean");
  if (attribute.integer()) kinds.push_back("an integer");
  if (attribute.float32()) kinds.push_back("a float32");
  if (attribute.float64()) kinds.push_back("a float64");
  if (attribute.integers()) kinds.push_back("integers");
  if (attribute.enumerator()) kinds.push_back("an enumerator");
  return kinds.empty() ? "nothing" : fmt::format("{}", fmt::join(kinds, " and "));
}

template <class T>
void expect_kind(const schema::Attribute& attribute, const T& present, const char* expected) {
  const std::string kind = kind_of(attribute);
  if (!present || kind != expected) {
    throw Error(fmt::format("attribute '{}' holds {}; expected {}", printable(view(attribute.name())), kind, expected));
  }
}

class AttributeReader {
 public:
  explicit AttributeReader(const flatbuffers::Vector<Offset<schema::Attribute>>* attributes) {
    if (!attributes) return;
    if (attributes->size() > kMaxAttributes) {
      throw Error(fmt::format("has {} attributes; expected at most {}", attributes->size(), kMaxAttributes));
    }
    pending_.assign(attributes->begin(), attributes->end());
  }

  template <class T>
  void operator()(const char* name, T& field) {
    const schema::Attribute* attribute = take(name);
    if (!attribute) return;
    const schema::Attribute& a = *attribute;
    if constexpr (std::is_enum_v<T>) {
      expect_kind(a, a.enumerator(), "an enumerator");
      field = enumerator<T>(a);
    } else if constexpr (std::is_same_v<T, Ints>) {
      expect_kind(a, a.integers(), "integers");
      field.assign(a.integers()->begin(), a.integers()->end());
    } else if constexpr (std::is_same_v<T, bool>) {
      expect_kind(a, a.boolean(), "a boolean");
      field = *a.boolean();
    } else if constexpr (std::is_same_v<T, std::int64_t>) {
      expect_kind(a, a.integer(), "an integer");
      field = *a.integer();
    } else if constexpr (std::is_same_v<T, float>) {
      expect_kind(a, a.float32(), "a float32");
      field = *a.float32();
    } else {
      static_assert(std::is_same_v<T, double>, "a field type that files do not know");
      expect_kind(a, a.float64(), "a float64");
      field = *a.float64();
    }
  }

  /// What is left over once every field has been visited.
  void finish() const {
    if (pending_.empty()) return;
    const std::string_view name = view(pending_.front()->name());
    const bool repeated = std::find(fields_.begin(), fields_.end(), name) != fields_.end();
    if (repeated) throw Error(fmt::format("attribute '{}' is there twice; expected it once", printable(name)));
    throw Error(fmt::format("attribute '{}' is unknown; expected one of: {}", printable(name), fmt::join(fields_, ", ")));
  }

 private:
  const schema::Attribute* take(std::string_view name) {
    fields_.push_back(name);
    const auto found = std::find_if(pending_.begin(), pending_.end(), [&](const auto* a) { return view(a->name()) == name; });
    if (found == pending_.end()) return nullptr;
    const schema::Attribute* attribute = *found;
    pending_.erase(found);
    return attribute;
  }

  template <class T>
  static T enumerator(const schema::Attribute& attribute) {
    const std::span<const char* const> names = enum_names(T{});
    const auto found = std::find(names.begin(), names.end(), view(attribute.enumerator()));
    if (found == names.end()) {
      throw Error(fmt::format("attribute '{}' is '{}'; expected one of: {}", printable(view(attribute.name())),
                              printable(view(attribute.enumerator())), fmt::join(names, ", ")));
    }
    return static_cast<T>(found - names.begin());
  }

  std::vector<const schema::Attribute*> pending_;
  std::vector<std::string_view> fields_;
};

template <class T>
Op read_fields(const schema::Node& node) {
  T op;
  AttributeReader reader(node.attributes());
  describe(op, reader);
  reader.finish();
  return op;
}

}  // namespace

std::vector<Offset<schema::Attribute>> write_attributes(FlatBufferBuilder& builder, const Op& op) {
  std::vector<Offset<schema::Attribute>> attributes;
  std::visit([&](const auto& o) { describe(o, AttributeWriter(builder, attributes)); }, op);
  return attributes;
}

Op read_op(const schema::Node& node) {
  struct Row {
    const char* name;
    Op (*read)(const schema::Node&);
  };
#define KONV_ROW(type, text) Row{text, read_fields<type>},
  static constexpr Row kRows[] = {KONV_OPS(KONV_ROW)};
#undef KONV_ROW
  for (const Row& row : kRows) {
    if (view(node.op()) == row.name) return row.read(node);
  }
  throw Error("the operator is unknown; expected one that this version of konv has");
}

}  // namespace konv::format
