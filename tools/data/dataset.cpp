#include "tools/data/dataset.h"

#include <algorithm>
#include <system_error>

#include <konv/error.hpp>

namespace konv::tools {
namespace fs = std::filesystem;
namespace {

// What lies in a folder, sorted bytewise; names that begin with a dot are nobody's pictures.
struct Listing {
  std::vector<fs::path> files;
  std::vector<fs::path> folders;
};

Listing list(const fs::path& folder) {
  Listing listing;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().native().starts_with('.')) continue;
    std::error_code ignored;
    (it->is_directory(ignored) ? listing.folders : listing.files).push_back(it->path());
  }
  if (error) throw Error(folder.string() + ": cannot be listed (" + error.message() + "); expected a readable folder");
  std::ranges::sort(listing.files, {}, &fs::path::native);
  std::ranges::sort(listing.folders, {}, &fs::path::native);
  return listing;
}

std::string file_name(const fs::path& path) { return path.filename().string(); }

// "a, b, c and 997 more"
std::string join(const std::vector<std::string>& names, std::size_t limit = 12) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), limit); ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > limit) text += " and " + std::to_string(names.size() - limit) + " more";
  return text;
}

// Where each class stands among the labels.
std::vector<int> match(const std::vector<std::string>& classes, const std::vector<std::string>& labels, const std::string& where) {
  std::vector<int> indices;
  std::vector<std::string> unknown;
  for (const std::string& name : classes) {
    const auto found = std::ranges::find(labels, name);
    if (found == labels.end()) unknown.push_back(name);
    indices.push_back(static_cast<int>(found - labels.begin()));
  }
  if (!unknown.empty()) {
    throw Error(where + ": has classes that are not labels of the model: " + join(unknown) + "; expected names among its " +
                std::to_string(labels.size()) + " labels: " + join(labels));
  }
  return indices;
}

bool is_test_batch(const fs::path& file) { return file_name(file).starts_with("test"); }

}  // namespace

Dataset::Dataset(const std::vector<fs::path>& sources, const std::vector<std::string>& labels) {
  if (sources.empty()) throw Error("data: no file or folder; expected CIFAR-10 .bin files or a folder");
  const auto folder = std::ranges::find_if(sources, [](const fs::path& source) { return fs::is_directory(source); });
  if (folder == sources.end()) {
    add_cifar(sources, labels);
  } else if (sources.size() == 1) {
    add_folder(*folder, labels);
  } else {
    throw Error(folder->string() + ": is one of several sources; expected one folder, or .bin files");
  }
}

void Dataset::add_folder(const fs::path& folder, const std::vector<std::string>& labels) {
  Listing listing = list(folder);
  std::erase_if(listing.files, [](const fs::path& file) { return file.extension() != ".bin"; });
  if (listing.files.empty() && listing.folders.empty()) {
    throw Error(folder.string() + ": holds no data; expected .bin files or one subfolder per class");
  }
  if (listing.files.empty()) {
    add_class_folders(folder, listing.folders, labels);
    return;
  }
  if (!listing.folders.empty()) throw Error(folder.string() + ": holds .bin files and subfolders; expected only one of them");
  const auto tests = std::ranges::count_if(listing.files, is_test_batch);
  if (tests != 0 && static_cast<std::size_t>(tests) != listing.files.size()) {
    throw Error(folder.string() + ": holds training and test batches; expected one split (name the .bin files)");
  }
  add_cifar(listing.files, labels);
}

void Dataset::add_cifar(const std::vector<fs::path>& files, const std::vector<std::string>& labels) {
  const std::vector<std::string> classes(kCifar10Classes.begin(), kCifar10Classes.end());
  class_names_ = labels.empty() ? classes : labels;
  const std::vector<int> indices = match(classes, class_names_, files.front().string());
  for (const fs::path& path : files) {
    const CifarFile& file = files_.emplace_back(path);
    for (std::size_t record = 0; record < file.size(); ++record) {
      entries_.push_back({files_.size() - 1, record, indices[static_cast<std::size_t>(file.label(record))]});
    }
  }
}

void Dataset::add_class_folders(const fs::path& folder, const std::vector<fs::path>& classes, const std::vector<std::string>& labels) {
  std::vector<std::string> names;
  for (const fs::path& path : classes) names.push_back(file_name(path));
  class_names_ = labels.empty() ? names : labels;
  const std::vector<int> indices = match(names, class_names_, folder.string());

  std::vector<std::vector<fs::path>> pictures;
  std::size_t most = 0;
  for (const fs::path& path : classes) {
    Listing listing = list(path);
    if (!listing.folders.empty()) throw Error(listing.folders.front().string() + ": is a folder; expected only pictures in a class folder");
    most = std::max(most, listing.files.size());
    pictures.push_back(std::move(listing.files));
  }
  for (std::size_t rank = 0; rank < most; ++rank) {
    for (std::size_t c = 0; c < classes.size(); ++c) {
      if (rank >= pictures[c].size()) continue;
      entries_.push_back({pictures_.size(), 0, indices[c]});
      pictures_.push_back(std::move(pictures[c][rank]));
    }
  }
  if (entries_.empty()) throw Error(folder.string() + ": holds no pictures; expected some in its class folders");
}

LabelledImage Dataset::load(std::size_t index) const {
  const Entry& entry = entries_[index];
  return {files_.empty() ? decode_image(pictures_[entry.source]) : files_[entry.source].image(entry.record), entry.label};
}

std::string Dataset::name(std::size_t index) const {
  const Entry& entry = entries_[index];
  if (files_.empty()) return pictures_[entry.source].string();
  return files_[entry.source].path().string() + "#" + std::to_string(entry.record);
}

}  // namespace konv::tools
