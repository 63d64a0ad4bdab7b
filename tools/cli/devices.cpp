// konv devices: what this machine offers, measured on one core.
#include <fmt/format.h>

#include "tools/cli/common.h"

namespace konv::tools {

void add_devices(CLI::App& program) {
  const auto output = std::make_shared<Output>();
  CLI::App* app = program.add_subcommand("devices", "Say what this machine offers");
  add_output_options(*app, *output);
  app->footer("Example: konv devices");
  app->callback([output] {
    const Json found = Json::parse(devices(true));
    if (output->json) {
      fmt::print("{}\n", found.dump(2));
      return;
    }
    for (const Json& device : found["devices"]) {
      fmt::print("{}: {}\n", device["device"].get<std::string>(), device.value("name", "unknown"));
      for (const auto& [key, value] : device.items()) {
        if (key != "device" && key != "name")
          fmt::print("    {:<14} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
      }
    }
    fmt::print("cuda: {}\n", found["cuda"].get<std::string>());
  });
}

}  // namespace konv::tools
