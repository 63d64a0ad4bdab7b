// PyTorch's format before 1.6 (torch/serialization.py, _legacy_save): five pickles one after the other,
//
//   magic number | protocol 1001 | {protocol_version, little_endian, type_sizes} | the object | [storage keys]
//
// and then for each key, in that order, its number of elements (int64) and their bytes, little endian on every machine.

#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "converter/checkpoint/formats.h"
#include "converter/checkpoint/tensors.h"
#include "engine/base/aligned.h"
#include "engine/base/text.h"

namespace konv::converter {
namespace {

using pickle::Document;
using pickle::Kind;
using pickle::Value;

// LONG1 of 10 bytes: 0x1950a86a20f9469cfc6c.
constexpr std::string_view kMagic("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 12);
constexpr std::int64_t kProtocol = 1001;

bool is_storage(const Value& value) {
  if (!value.is(Kind::persistent) || !value.arguments->is(Kind::tuple) || value.arguments->items.empty()) return false;
  const Value& first = *value.arguments->items[0];
  return first.is(Kind::string) && first.text == "storage";
}

std::int64_t stored_count(std::span<const std::byte> bytes) {
  std::uint64_t count = 0;
  for (std::size_t i = 8; i-- > 0;) count = count << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  return static_cast<std::int64_t>(count);
}

using Places = std::map<std::string, std::span<const std::byte>, std::less<>>;

/// Where each storage lies in `bytes`, the file behind its last pickle. Element sizes are known to the object's pickle only.
Places find_storages(std::span<const std::byte> bytes, const Document& object, const Value& keys) {
  std::map<std::string, StorageId, std::less<>> ids;
  for (const Value& value : object.values) {
    if (!is_storage(value)) continue;
    StorageId id = storage_id(value);
    ids.emplace(id.key, id);
  }
  Places places;
  for (const Value* key : keys.items) {
    if (!key->is(Kind::string)) throw Error(fmt::format("names a storage by {}; expected a text", describe(*key)));
    const auto id = ids.find(key->text);
    if (id == ids.end()) throw Error(fmt::format("holds storage '{}', whose type is not told", printable(key->text)));
    if (bytes.size() < 8) throw Error(fmt::format("ends before storage '{}'; expected a whole file", printable(key->text)));
    const std::int64_t count = stored_count(bytes);
    if (count != id->second.count) {
      throw Error(fmt::format("holds {} elements of storage '{}'; expected {}", count, printable(key->text), id->second.count));
    }
    const auto size = static_cast<std::uint64_t>(storage_bytes(id->second.dtype, count));
    if (size > bytes.size() - 8) {
      throw Error(fmt::format("ends within storage '{}' ({} of {} bytes are there); expected a whole file", printable(key->text),
                              bytes.size() - 8, size));
    }
    places.emplace(key->text, bytes.subspan(8, static_cast<std::size_t>(size)));
    bytes = bytes.subspan(8 + static_cast<std::size_t>(size));
  }
  return places;
}

}  // namespace

bool is_legacy(std::span<const std::byte> bytes) {
  return bytes.size() > 2 + kMagic.size() && bytes[0] == std::byte{0x80} &&
         std::memcmp(bytes.data() + 2, kMagic.data(), kMagic.size()) == 0;
}

models::StateDict read_legacy(const MappedFile& file) {
  std::span<const std::byte> rest = file.span();
  const auto next = [&rest] {
    Document document = pickle::read(rest);
    rest = rest.subspan(document.size);
    return document;
  };
  next();  // the magic number
  const Document protocol = next();
  if (!protocol.root->is(Kind::integer) || protocol.root->integer != kProtocol) {
    throw Error(fmt::format("is a legacy PyTorch checkpoint of another protocol; expected {}", kProtocol));
  }
  next();  // the system that wrote it
  const Document object = next();
  const Document keys = next();
  if (!keys.root->is(Kind::list)) throw Error(fmt::format("has {} in place of the storage keys; expected a list", describe(*keys.root)));

  Places places;
  bool found = false;
  const ReadStorage read = [&](const StorageId& id) {
    if (!found) places = find_storages(rest, object, *keys.root);
    found = true;
    const auto place = places.find(id.key);
    if (place == places.end()) throw Error(fmt::format("lies in storage '{}', which the file lacks", printable(id.key)));
    const std::shared_ptr<std::byte> buffer = aligned_bytes(static_cast<std::int64_t>(place->second.size()));
    if (!place->second.empty()) std::memcpy(buffer.get(), place->second.data(), place->second.size());
    return std::shared_ptr<const std::byte>(buffer);
  };
  return collect_tensors(*object.root, read, unfolding_limit(file.size));
}

}  // namespace konv::converter
