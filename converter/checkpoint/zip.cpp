// PyTorch's format since 1.6: a zip archive NAME/data.pkl (the object), NAME/data/KEY (storages), NAME/byteorder ("little" or "big", since 2.0).

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <zip.h>

#include "converter/checkpoint/formats.h"
#include "converter/checkpoint/tensors.h"
#include "engine/base/aligned.h"
#include "engine/base/text.h"

namespace konv::converter {
namespace {

/// A zip archive in memory. libzip checks names, sizes and checksums.
class Archive {
 public:
  explicit Archive(const MappedFile& file) : bytes_(file.bytes) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* source = zip_source_buffer_create(file.bytes.get(), file.size, 0, &error);
    zip_ = source ? zip_open_from_source(source, ZIP_RDONLY, &error) : nullptr;
    if (!zip_) {
      const std::string reason = zip_error_strerror(&error);
      zip_source_free(source);
      zip_error_fini(&error);
      throw Error(fmt::format("is a damaged zip archive ({}); expected a whole checkpoint", reason));
    }
    zip_error_fini(&error);
  }
  ~Archive() { zip_discard(zip_); }
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  std::int64_t count() const { return zip_get_num_entries(zip_, 0); }

  std::string_view name(std::int64_t i) const {
    const char* name = zip_get_name(zip_, static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW);
    return name ? name : "";
  }

  bool has(const std::string& name) const { return zip_name_locate(zip_, name.c_str(), ZIP_FL_ENC_RAW) >= 0; }

  /// Size as the archive tells it; nothing when there is no such entry.
  std::optional<std::int64_t> size(const std::string& name) const {
    zip_stat_t status;
    if (zip_stat(zip_, name.c_str(), ZIP_FL_ENC_RAW, &status) != 0 || !(status.valid & ZIP_STAT_SIZE)) return {};
    if (status.size > static_cast<zip_uint64_t>(INT64_MAX)) return {};
    return static_cast<std::int64_t>(status.size);
  }

  /// All of an entry of `size` bytes.
  std::shared_ptr<std::byte> read(const std::string& name, std::int64_t size) const {
    const std::shared_ptr<std::byte> buffer = aligned_bytes(size);
    zip_file_t* entry = zip_fopen(zip_, name.c_str(), ZIP_FL_ENC_RAW);
    if (!entry) throw Error(fmt::format("has an unreadable entry '{}' ({})", printable(name), zip_strerror(zip_)));
    std::int64_t at = 0;
    std::byte past_end[1];
    zip_int64_t got = 0;
    // One read past the end makes libzip check the checksum.
    while ((got = at < size ? zip_fread(entry, buffer.get() + at, static_cast<zip_uint64_t>(size - at)) : zip_fread(entry, past_end, 1)) >
           0) {
      if (at == size) break;
      at += got;
    }
    zip_fclose(entry);
    if (got != 0 || at != size)
      throw Error(fmt::format("has a damaged entry '{}'; expected {} bytes that fit their checksum", printable(name), size));
    return buffer;
  }

 private:
  std::shared_ptr<const std::byte> bytes_;
  zip_t* zip_;
};

/// The folder in the archive that holds data.pkl, with its slash.
std::string find_folder(const Archive& archive) {
  constexpr std::string_view kPickle = "data.pkl";
  for (std::int64_t i = 0; i < archive.count(); ++i) {
    const std::string_view name = archive.name(i);
    if (name == kPickle) return "";
    if (name.ends_with("/data.pkl")) return std::string(name.substr(0, name.size() - kPickle.size()));
  }
  throw Error("is a zip archive without data.pkl; expected a checkpoint written by torch.save");
}

void swap_elements(std::byte* bytes, std::int64_t size, std::int64_t width) {
  for (std::int64_t at = 0; at + width <= size; at += width) std::reverse(bytes + at, bytes + at + width);
}

}  // namespace

bool is_zip(std::span<const std::byte> bytes) { return bytes.size() >= 4 && std::memcmp(bytes.data(), "PK\x03\x04", 4) == 0; }

models::StateDict read_zip(const MappedFile& file) {
  const Archive archive(file);
  const std::string folder = find_folder(archive);
  if (archive.has(folder + "constants.pkl") || archive.has(folder + "code/")) {
    throw Error("is a TorchScript program; expected a checkpoint: save it with torch.save(model.state_dict(), ...)");
  }
  const std::int64_t limit = unfolding_limit(file.size);
  std::int64_t bytes_left = limit;
  const auto read_entry = [&](const std::string& name, const char* what) {
    const std::optional<std::int64_t> size = archive.size(name);
    if (!size) throw Error(fmt::format("lacks '{}', {}", printable(name), what));
    if (*size > bytes_left)
      throw Error(fmt::format("would unfold '{}' to {} bytes, far more than the file has; refused", printable(name), *size));
    bytes_left -= *size;
    return std::pair(archive.read(name, *size), *size);
  };

  bool big_endian = false;
  if (archive.has(folder + "byteorder")) {
    const auto [text, size] = read_entry(folder + "byteorder", "the byte order");
    const std::string_view order(reinterpret_cast<const char*>(text.get()), static_cast<std::size_t>(size));
    big_endian = order == "big";
    if (!big_endian && order != "little") throw Error(fmt::format("has byte order '{}'; expected 'little' or 'big'", printable(order)));
  }

  const auto [text, text_size] = read_entry(folder + "data.pkl", "the pickle");
  const pickle::Document document = pickle::read({text.get(), static_cast<std::size_t>(text_size)});
  const ReadStorage read = [&](const StorageId& id) {
    const auto [bytes, size] = read_entry(folder + "data/" + id.key, "a storage");
    const std::int64_t expected = storage_bytes(id.dtype, id.count);
    if (size != expected)
      throw Error(fmt::format("lies in storage '{}', which has {} bytes; expected {}", printable(id.key), size, expected));
    if (big_endian) swap_elements(bytes.get(), size, bits(id.dtype) / 8);
    return std::shared_ptr<const std::byte>(bytes);
  };
  return collect_tensors(*document.root, read, limit);
}

}  // namespace konv::converter
