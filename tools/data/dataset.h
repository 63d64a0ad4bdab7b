// Labelled pictures to judge or calibrate a model with: what `--data` names.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/data/cifar.h"
#include "tools/image/image.h"

namespace konv::tools {

struct LabelledImage {
  Image image;
  int label = 0;  // index into Dataset::class_names()
};

// The pictures are listed at construction and read one by one. load() is const and may be called from several threads.
//
// Sources, one of:
//   CIFAR-10 .bin files
//   a folder of one split's .bin files
//   a folder of class-named subfolders of pictures
//
// The order is the same everywhere. .bin files keep theirs (a folder's files sorted by name). Of class folders, the first picture
// of every class comes first, then the second of every class, and so on, names sorted bytewise: so the first N are spread over
// all classes.
class Dataset {
 public:
  // `labels` are the model's, in the order of its outputs; the classes of the data are found among them by name. Without labels,
  // the classes count in CIFAR-10's order, or in that of the sorted folder names.
  // Throws konv::Error where a class is not among the labels, and for folders that are none of the above.
  Dataset(const std::vector<std::filesystem::path>& sources, const std::vector<std::string>& labels);

  std::size_t size() const { return entries_.size(); }
  const std::vector<std::string>& class_names() const { return class_names_; }

  LabelledImage load(std::size_t index) const;
  int label(std::size_t index) const { return entries_[index].label; }
  std::string name(std::size_t index) const;  // the picture's file, or FILE.bin#RECORD

 private:
  struct Entry {
    std::size_t source;  // index into files_, or into pictures_ where there are no files_
    std::size_t record;
    int label;
  };

  void add_folder(const std::filesystem::path& folder, const std::vector<std::string>& labels);
  void add_cifar(const std::vector<std::filesystem::path>& files, const std::vector<std::string>& labels);
  void add_class_folders(const std::filesystem::path& folder, const std::vector<std::filesystem::path>& classes,
                         const std::vector<std::string>& labels);

  std::vector<std::string> class_names_;
  std::vector<CifarFile> files_;
  std::vector<std::filesystem::path> pictures_;
  std::vector<Entry> entries_;
};

}  // namespace konv::tools
