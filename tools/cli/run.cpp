// konv run MODEL [INPUT...]: classify images, or feed raw tensors.
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "tools/cli/classify.h"
#include "tools/data/cifar.h"
#include "tools/data/npy.h"

namespace konv::tools {
namespace {

namespace fs = std::filesystem;

struct RunCommand {
  std::string model, output_dir;
  std::vector<std::string> inputs;
  int top = 5;
  RunOptions run;
  Output output;
};

/// NumPy's names of the types both sides have.
const std::map<std::string, Type> kNumpyTypes = {{"<f4", Type::float32}, {"<f8", Type::float64}, {"<f2", Type::float16},
                                                 {"<i8", Type::int64},   {"<i4", Type::int32},   {"<i2", Type::int16},
                                                 {"|i1", Type::int8},    {"<u8", Type::uint64},  {"<u4", Type::uint32},
                                                 {"<u2", Type::uint16},  {"|u1", Type::uint8},   {"|b1", Type::boolean}};

/// One picture to classify.
struct Picture {
  std::string name;
  fs::path file;
  std::optional<std::size_t> record;  // of a .bin file
};

bool has_suffix(const std::string& text, const std::string& suffix) {
  return text.size() >= suffix.size() && text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

bool is_tensor_argument(const std::string& input) {
  return input.find('=') != std::string::npos && has_suffix(input, ".npy") && !fs::exists(input);
}

void list_pictures(const std::string& input, std::vector<Picture>& pictures, std::vector<std::unique_ptr<CifarFile>>& files) {
  if (fs::is_directory(input)) {
    std::vector<fs::path> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(input)) {
      if (entry.is_regular_file() && entry.path().filename().string().front() != '.') found.push_back(entry.path());
    }
    if (found.empty()) throw Error(input + ": holds no file; expected PNG or JPEG images");
    std::sort(found.begin(), found.end());
    for (const fs::path& path : found) pictures.push_back({path.string(), path, {}});
  } else if (has_suffix(input, ".bin")) {
    files.push_back(std::make_unique<CifarFile>(input));
    for (std::size_t i = 0; i < files.back()->size(); ++i) pictures.push_back({fmt::format("{}#{}", input, i), input, i});
  } else {
    pictures.push_back({input, input, {}});
  }
}

/// The graph's outputs gathered over runs, stacked along the first dimension.
class OutputFiles {
 public:
  void add(const Session& session, std::size_t images) {
    arrays_.resize(session.output_count());
    for (std::size_t i = 0; i < session.output_count(); ++i) {
      const OutputTensor output = session.output(i);
      NpyArray& array = arrays_[i].array;
      arrays_[i].name = output.name;
      for (const auto& [numpy, type] : kNumpyTypes) {
        if (type == output.type) array.dtype = numpy;
      }
      if (array.dtype.empty())
        throw Error(fmt::format("output '{}': is {}; expected a type that NumPy has", output.name, type_name(output.type)));
      std::size_t bytes = output.size_bytes;
      std::vector<std::int64_t> shape = output.shape;
      if (images > 0 && !shape.empty() && shape[0] > 0) {  // a fixed batch may be larger than what is left
        bytes = bytes / static_cast<std::size_t>(shape[0]) * images;
        shape[0] = static_cast<std::int64_t>(images);
      }
      if (!array.shape.empty() && !shape.empty()) shape[0] += array.shape[0];
      array.shape = shape;
      const auto* data = static_cast<const std::byte*>(output.data);
      array.data.insert(array.data.end(), data, data + bytes);
    }
  }
  void write(const std::string& folder) const {
    std::error_code error;
    fs::create_directory(folder, error);
    if (!fs::is_directory(folder)) throw Error(folder + ": cannot be made; expected a writable folder");
    for (const auto& [name, array] : arrays_) {
      std::string file = name;
      std::replace(file.begin(), file.end(), '/', '_');
      write_npy(fs::path(folder) / (file + ".npy"), array);
    }
  }

 private:
  struct Named {
    std::string name;
    NpyArray array;
  };
  std::vector<Named> arrays_;
};

void run_tensors(const RunCommand& c, Session& session) {
  std::vector<NpyArray> arrays;
  std::vector<InputTensor> tensors;
  arrays.reserve(c.inputs.size());
  for (const std::string& input : c.inputs) {
    const std::size_t equals = input.find('=');
    if (!is_tensor_argument(input)) throw Error(input + ": is no NAME=FILE.npy; expected only tensors beside the others given");
    arrays.push_back(read_npy(input.substr(equals + 1)));
    const auto type = kNumpyTypes.find(arrays.back().dtype);
    if (type == kNumpyTypes.end()) throw Error(fmt::format("{}: has dtype {}; expected a number type", input, arrays.back().dtype));
    tensors.push_back({input.substr(0, equals), type->second, arrays.back().shape, arrays.back().data.data()});
  }
  session.run(tensors);
  OutputFiles files;
  if (!c.output_dir.empty()) {
    files.add(session, 0);
    files.write(c.output_dir);
  }
  Json all = Json::array();
  for (std::size_t i = 0; i < session.output_count(); ++i) {
    const OutputTensor output = session.output(i);
    Json item = {{"output", output.name}, {"type", type_name(output.type)}, {"shape", output.shape}};
    std::string shape;
    for (std::int64_t d : output.shape) shape += (shape.empty() ? "" : "x") + std::to_string(d);
    if (!c.output.json) fmt::print("{}: {} {}\n", output.name, type_name(output.type), shape.empty() ? "scalar" : shape);
    if (output.type == Type::float32 && output.shape.size() == 2) {
      item["top"] = Json::array();
      for (std::int64_t row = 0; row < output.shape[0]; ++row) {
        const std::span<const float> s = scores(output, static_cast<std::size_t>(row), static_cast<std::size_t>(output.shape[0]));
        Json top = Json::array();
        for (std::size_t k : top_k(s, static_cast<std::size_t>(c.top))) {
          top.push_back({{"index", k}, {"value", s[k]}});
          if (!c.output.json) fmt::print("    {:>6}  {:g}\n", k, s[k]);
        }
        item["top"].push_back(std::move(top));
      }
    }
    all.push_back(std::move(item));
  }
  if (c.output.json) fmt::print("{}\n", all.dump(2));
}

void classify(const RunCommand& c, const Model& model, Session& session) {
  std::vector<Picture> pictures;
  std::vector<std::unique_ptr<CifarFile>> files;
  for (const std::string& input : c.inputs) {
    if (is_tensor_argument(input)) throw Error(input + ": is a tensor; expected images only, or tensors only");
    list_pictures(input, pictures, files);
  }
  const std::vector<std::string>& labels = model.labels();
  Json all = Json::array();
  OutputFiles outputs;
  ImageBatch batch(model, 1);
  {
    Progress progress("run", pictures.size(), c.output.quiet);
    std::size_t file = 0;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      const Picture& picture = pictures[i];
      while (picture.record && files[file]->path() != picture.file) ++file;
      batch.clear();
      batch.add(picture.record ? files[file]->image(*picture.record) : decode_image(picture.file), picture.name);
      session.run({batch.tensor()});
      if (!c.output_dir.empty()) outputs.add(session, 1);
      const std::vector<float> p = probabilities(scores(session.output(0), 0, 1));
      Json top = Json::array();
      for (std::size_t k : top_k(p, static_cast<std::size_t>(c.top)))
        top.push_back({{"label", k < labels.size() ? labels[k] : std::to_string(k)}, {"index", k}, {"probability", p[k]}});
      all.push_back({{"input", picture.name}, {"top", std::move(top)}});
      progress.step(i + 1);
    }
  }
  if (!c.output_dir.empty()) outputs.write(c.output_dir);
  if (c.output.json) {
    fmt::print("{}\n", all.dump(2, ' ', false, Json::error_handler_t::replace));
    return;
  }
  for (const Json& item : all) {
    fmt::print("{}:", item["input"].get<std::string>());
    for (const Json& top : item["top"])
      fmt::print("  {} {:.1f} %", top["label"].get<std::string>(), 100 * top["probability"].get<double>());
    fmt::print("\n");
  }
}

void run(const RunCommand& c) {
  const Model model = open_model(c.model, c.run, c.output, true);
  Session session(model, Runtime(c.run.threads), session_options(c.run));
  if (c.inputs.empty() && !model.inputs().empty()) throw CLI::RequiredError("INPUT");
  if (c.inputs.empty() || is_tensor_argument(c.inputs.front())) {
    run_tensors(c, session);
  } else {
    classify(c, model, session);
  }
}

}  // namespace

void add_run(CLI::App& program) {
  const auto c = std::make_shared<RunCommand>();
  CLI::App* app = program.add_subcommand("run", "Classify images, or run raw tensors");
  app->add_option("MODEL", c->model, ".konv or .onnx file")->required();
  app->add_option("INPUT", c->inputs, "PNG or JPEG file, folder of them, CIFAR-10 .bin file, or NAME=FILE.npy");
  app->add_option("--top", c->top, "Classes to print")->check(positive())->capture_default_str();
  app->add_option("--output-dir", c->output_dir, "Write every graph output as NAME.npy into this folder");
  add_run_options(*app, c->run);
  add_output_options(*app, c->output);
  app->footer("Example: konv run resnet20.konv cat.png ship.jpg --top 3");
  app->callback([c] { run(*c); });
}

}  // namespace konv::tools
