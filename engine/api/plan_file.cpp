#include "engine/api/plan_file.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <konv/konv.hpp>

#include "engine/format/file.h"

#if KONV_HAVE_CPUINFO
#include <cpuinfo.h>
#endif

namespace konv::api {
namespace {

using Json = nlohmann::ordered_json;

/// Kernels change with the version; nothing else of a build decides how fast they are.
std::string build_name() { return std::string("konv ") + version(); }

bool same(const PlanKey& a, const PlanKey& b) {
  return a.model == b.model && a.inputs == b.inputs && a.threads == b.threads && a.isa == b.isa && a.precision == b.precision;
}

}  // namespace

std::string cpu_name() {
#if KONV_HAVE_CPUINFO
  if (cpuinfo_initialize() && cpuinfo_get_packages_count()) return cpuinfo_get_package(0)->name;
#endif
  return "unknown";
}

std::string fingerprint(const std::string& description) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : description) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

PlanFile::PlanFile(std::string path) : path_(std::move(path)), cpu_(cpu_name()), build_(build_name()) {
  format::Bytes bytes;
  try {
    bytes = format::map_file(path_);
  } catch (const Error&) {
    return;  // not there; save() says what is wrong with the place
  }
  exists_ = true;
  try {
    const Json json = Json::parse(std::string_view(reinterpret_cast<const char*>(bytes.data.get()), bytes.size));
    cpu_ = json.at("cpu").get<std::string>();
    build_ = json.at("build").get<std::string>();
    for (const Json& plan : json.at("plans")) {
      stored_.push_back({{plan.at("model"), plan.at("inputs"), plan.at("threads"), plan.at("isa"), plan.value("precision", "float32")},
                         {plan.at("kernels"), plan.at("default_seconds"), plan.at("seconds")}});
    }
  } catch (const nlohmann::json::exception&) {
    throw Error(fmt::format("{}: is no plan file; expected what --tune writes", path_));
  }
}

std::string PlanFile::foreign() const {
  if (cpu_ != cpu_name()) return fmt::format("was made on '{}', this is '{}'", cpu_, cpu_name());
  if (build_ != build_name()) return fmt::format("was made by {}, this is {}", build_, build_name());
  return {};
}

std::optional<PlanEntry> PlanFile::find(const PlanKey& key) const {
  const auto found = std::find_if(stored_.begin(), stored_.end(), [&](const Stored& s) { return same(s.key, key); });
  return found == stored_.end() ? std::nullopt : std::optional(found->entry);
}

void PlanFile::set(const PlanKey& key, const PlanEntry& entry) {
  if (!foreign().empty()) stored_.clear();
  cpu_ = cpu_name();
  build_ = build_name();
  std::erase_if(stored_, [&](const Stored& s) { return same(s.key, key); });
  stored_.push_back({key, entry});
}

void PlanFile::save() const {
  Json plans = Json::array();
  for (const auto& [key, entry] : stored_) {
    plans.push_back({{"model", key.model},
                     {"inputs", key.inputs},
                     {"threads", key.threads},
                     {"isa", key.isa},
                     {"precision", key.precision},
                     {"default_seconds", entry.default_seconds},
                     {"seconds", entry.seconds},
                     {"kernels", entry.kernels}});
  }
  const std::string text = Json{{"cpu", cpu_}, {"build", build_}, {"plans", plans}}.dump(1) + "\n";
  try {
    format::NewFile file(path_);
    file.write(std::as_bytes(std::span(text)));
    file.commit();
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", path_, error.what()));
  }
}

}  // namespace konv::api
