#include "engine/compress/settings.h"

#include <fmt/format.h>
#include <konv/error.hpp>
#include <nlohmann/json.hpp>

namespace konv::compress {
namespace {

using Json = nlohmann::json;

DType type_from(const std::string& option, const Json& value) {
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  const std::optional<DType> type = dtype_from_name(text);
  if (!type) throw Error(fmt::format("{}: '{}' is no type; expected float32, float16, bfloat16, int16, int8, int4 or int2", option, text));
  return *type;
}

void set_weights(LayerSettings& layer, const std::string& option, DType type) {
  const bool integer = type == DType::int2 || type == DType::int4 || type == DType::int8 || type == DType::int16;
  if (!integer && type != DType::float32 && type != DType::float16 && type != DType::bfloat16) {
    throw Error(fmt::format("{} {}: is no type of weights; expected float32, float16, bfloat16, int16, int8, int4 or int2", option,
                            konv::name(type)));
  }
  layer.weight_bits = integer ? bits(type) : 0;
  layer.storage = integer ? DType::float32 : type;
}

void apply_layer(LayerSettings& layer, const std::string& who, const Json& json) {
  if (!json.is_object()) throw Error(who + ": is no object; expected {\"weights\": ..., \"activations\": ...}");
  for (const auto& [key, value] : json.items()) {
    const std::string option = who + "." + key;
    if (key == "weights") {
      const DType type = type_from(option, value);
      set_weights(layer, option, type);
    } else if (key == "activations") {
      layer.activation_bits = activation_bits_from(option, type_from(option, value));
    } else if (key == "calibrator" && value.is_string()) {
      layer.calibrator = calibrator_from(value);
    } else if (key == "rounding" && value.is_string()) {
      layer.rounding = rounding_from(value);
    } else {
      throw Error(option + ": is unknown; expected weights, activations, calibrator or rounding");
    }
  }
}

}  // namespace

Calibrator calibrator_from(const std::string& text) {
  for (const Calibrator c : {Calibrator::automatic, Calibrator::minmax, Calibrator::percentile, Calibrator::kl, Calibrator::mse}) {
    if (text == name(c)) return c;
  }
  throw Error("--calibrator " + text + ": is unknown; expected auto, minmax, percentile, kl or mse");
}

Rounding rounding_from(const std::string& text) {
  if (text == "nearest") return Rounding::nearest;
  if (text == "gptq") return Rounding::gptq;
  if (text == "full") return Rounding::full;
  throw Error("--rounding " + text + ": is unknown; expected nearest, gptq or full");
}

PruneKind prune_kind_from(const std::string& text) {
  if (text == "k-rows") return PruneKind::k_rows;
  if (text == "channels") return PruneKind::channels;
  if (text == "unstructured") return PruneKind::unstructured;
  throw Error("--kind " + text + ": is unknown; expected k-rows, channels or unstructured");
}

void set_types(LayerSettings& layer, const std::string& option, DType weights, DType activations) {
  set_weights(layer, option, weights);
  layer.activation_bits = activation_bits_from("--activations", activations);
  if (layer.weight_bits == 0 && layer.activation_bits > 0) {
    throw Error(fmt::format("{} {}: has no kernel with {} activations; expected --activations float32", option, konv::name(weights),
                            konv::name(activations)));
  }
}

int activation_bits_from(const std::string& option, DType type) {
  if (type == DType::float32) return 0;
  if (type == DType::int2 || type == DType::int4 || type == DType::int8 || type == DType::int16) return bits(type);
  throw Error(
      fmt::format("{} {}: is no type of quantized activations; expected float32, int16, int8, int4 or int2", option, konv::name(type)));
}

void apply_config(QuantizeSettings& settings, const std::string& text) {
  if (text.empty()) return;
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::exception& e) {
    throw Error(fmt::format("--config: is no JSON ({}); expected an object", e.what()));
  }
  if (!json.is_object()) throw Error("--config: is no object; expected {\"layers\": {...}}");
  for (const auto& [key, value] : json.items()) {
    if (key == "skips") {
      settings.skip_bits = activation_bits_from("--config: skips", type_from("--config: skips", value));
    } else if (key == "ends") {
      settings.end_bits = activation_bits_from("--config: ends", type_from("--config: ends", value));
    } else if (key == "layers" && value.is_object()) {
      for (const auto& [name, layer] : value.items()) {
        LayerSettings of_layer = settings.layers;
        apply_layer(of_layer, "--config: " + name, layer);
        settings.named[name] = of_layer;
      }
    } else {
      throw Error("--config: '" + key + "' is unknown; expected skips, ends or layers");
    }
  }
}

std::string report_json(const std::vector<LayerReport>& layers) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const LayerReport& l : layers) {
    list.push_back({{"name", l.name},
                    {"weight_bits", l.weight_bits},
                    {"activation_bits", l.activation_bits},
                    {"calibrator", l.calibrator},
                    {"input_scale", l.input_scale},
                    {"clipped", l.clipped},
                    {"weight_scale", {l.weight_scale_min, l.weight_scale_max}},
                    {"signal_to_noise_db", l.signal_to_noise},
                    {"noise_share", l.noise_share}});
  }
  return nlohmann::ordered_json{{"layers", list}}.dump(2);
}

std::string report_json(const std::vector<PrunedLayer>& layers) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const PrunedLayer& l : layers)
    list.push_back({{"name", l.name}, {"weights", l.weights}, {"kept", l.kept}, {"signal_to_noise_db", l.signal_to_noise}});
  return nlohmann::ordered_json{{"layers", list}}.dump(2);
}

}  // namespace konv::compress
