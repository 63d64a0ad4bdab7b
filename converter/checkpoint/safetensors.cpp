// safetensors (https://github.com/huggingface/safetensors, "Format"): header length (8 bytes, little endian), a JSON header
//
//   {"__metadata__": {...}, "conv1.weight": {"dtype": "F32", "shape": [16, 3, 3, 3], "data_offsets": [0, 1728]}, ...}
//
// and the bytes of all tensors, which cover the rest of the file without holes or overlaps.

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "converter/checkpoint/formats.h"
#include "converter/checkpoint/tensors.h"
#include "engine/base/text.h"
#include "engine/format/recognize.h"

namespace konv::converter {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxHeader = 100'000'000;  // as the format's own reader

constexpr std::pair<std::string_view, DType> kTypes[] = {
    {"F64", DType::float64}, {"F32", DType::float32}, {"F16", DType::float16},  {"BF16", DType::bfloat16}, {"I64", DType::int64},
    {"I32", DType::int32},   {"I16", DType::int16},   {"I8", DType::int8},      {"U64", DType::uint64},    {"U32", DType::uint32},
    {"U16", DType::uint16},  {"U8", DType::uint8},    {"BOOL", DType::boolean},
};

std::uint64_t header_size(std::span<const std::byte> bytes) {
  std::uint64_t size = 0;
  for (std::size_t i = 8; i-- > 0;) size = size << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  return size;
}

Json parse_header(std::string_view text) {
  std::set<std::string, std::less<>> names;
  std::string repeated;
  const auto note_names = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1 && !names.insert(parsed.get<std::string>()).second)
      repeated = parsed.get<std::string>();
    return true;
  };
  Json header = Json::parse(text, note_names, false);
  if (!header.is_object()) throw Error("has a header that is not a JSON object; expected a safetensors file");
  if (!repeated.empty()) throw Error(fmt::format("names tensor '{}' twice", printable(repeated)));
  return header;
}

/// A list of integers from 0 up.
Dims sizes(const Json& json, const char* what) {
  if (!json.is_array()) throw Error(fmt::format("has no {}; expected a list of integers", what));
  Dims result;
  for (const Json& item : json) {
    if (!item.is_number_unsigned() || item.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
      throw Error(fmt::format("has a {} that is no list of integers from 0 up", what));
    }
    result.push_back(item.get<std::int64_t>());
  }
  return result;
}

struct Item {
  std::string name;
  DType dtype = DType::float32;
  Dims dims;
  std::int64_t begin = 0, end = 0;
};

Item parse_item(const std::string& name, const Json& json) {
  Item item{.name = name, .dims = {}};
  if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") || !json.contains("data_offsets")) {
    throw Error("is not described by dtype, shape and data_offsets");
  }
  const std::string type = json["dtype"].is_string() ? json["dtype"].get<std::string>() : std::string();
  const auto known = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& entry) { return entry.first == type; });
  if (known == std::end(kTypes))
    throw Error(fmt::format("has dtype '{}'; expected one of F64, F32, F16, BF16, I64 to I8, U64 to U8, BOOL", printable(type)));
  item.dtype = known->second;
  item.dims = sizes(json["shape"], "shape");
  const Dims offsets = sizes(json["data_offsets"], "data_offsets");
  if (offsets.size() != 2 || offsets[0] > offsets[1]) throw Error("has data_offsets that are no [begin, end]");
  item.begin = offsets[0];
  item.end = offsets[1];
  const std::int64_t count = element_count(item.dims);
  const std::int64_t width = bits(item.dtype) / 8;
  if (count > INT64_MAX / width || count * width != item.end - item.begin) {
    throw Error(fmt::format("has {} bytes; expected those of {} elements of {}", item.end - item.begin, count, konv::name(item.dtype)));
  }
  return item;
}

}  // namespace

bool is_safetensors(std::span<const std::byte> bytes) {
  return bytes.size() >= 10 && bytes[8] == std::byte{'{'} && header_size(bytes) <= kMaxHeader;
}

models::StateDict read_safetensors(const MappedFile& file) {
  const std::span<const std::byte> bytes = file.span();
  if (!is_safetensors(bytes)) throw Error(fmt::format("{}; expected a safetensors file", format::describe_beginning(bytes)));
  const std::uint64_t size = header_size(bytes);
  if (size > bytes.size() - 8) throw Error(fmt::format("ends within its header of {} bytes; expected a whole safetensors file", size));
  const Json header = parse_header({reinterpret_cast<const char*>(bytes.data()) + 8, static_cast<std::size_t>(size)});
  const std::span<const std::byte> data = bytes.subspan(8 + static_cast<std::size_t>(size));

  std::vector<Item> items;
  for (const auto& [name, json] : header.items()) {
    if (name == "__metadata__") continue;
    try {
      items.push_back(parse_item(name, json));
    } catch (const Error& error) {
      throw Error(fmt::format("tensor '{}' {}", printable(name), error.what()));
    }
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::int64_t at = 0;
  for (const Item& item : items) {
    if (item.begin != at)
      throw Error(fmt::format("tensor '{}' begins at byte {}; expected {} (no holes, no overlaps)", printable(item.name), item.begin, at));
    at = item.end;
  }
  if (at != static_cast<std::int64_t>(data.size())) {
    throw Error(fmt::format("has {} bytes of tensors; expected the {} its header tells", data.size(), at));
  }

  models::StateDict tensors;
  for (const Item& item : items) {
    const std::string_view name = parameter_name(item.name);
    if (name.empty()) continue;
    MutableTensor tensor(item.dtype, item.dims);
    if (item.end > item.begin) std::memcpy(tensor.bytes.get(), data.data() + item.begin, static_cast<std::size_t>(item.end - item.begin));
    tensors.insert_or_assign(std::string(name), tensor);
  }
  return tensors;
}

}  // namespace konv::converter
