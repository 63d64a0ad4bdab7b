// konv: the command line. Every subcommand is a file of its own; this one turns errors into one line and an exit status.
#include <cstdio>
#include <exception>
#include <new>

#include <fmt/format.h>

#include "tools/cli/common.h"

namespace {

int fail(const std::string& message, int status) {
  std::fflush(stdout);
  fmt::print(stderr, "konv: error: {}\n", message);
  return status;
}

std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App program("konv converts, optimizes and runs convolutional networks", "konv");
  program.set_version_flag("--version", konv::version());
  program.require_subcommand(1);
  program.failure_message([](const CLI::App*, const CLI::Error&) { return std::string(); });
  try {
    konv::tools::add_convert(program);
    konv::tools::add_optimize(program);
    konv::tools::add_quantize(program);
    konv::tools::add_prune(program);
    konv::tools::add_run(program);
    konv::tools::add_eval(program);
    konv::tools::add_bench(program);
    konv::tools::add_bench_conv(program);
    konv::tools::add_compare(program);
    konv::tools::add_inspect(program);
    konv::tools::add_export(program);
    konv::tools::add_devices(program);
    program.parse(argc, argv);
    return std::fflush(stdout) == 0 ? 0 : fail("standard output: cannot be written; expected an open pipe or file", 1);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return program.exit(e);  // --help, --version
    const std::string message = one_line(e.what());
    const bool says_what = message.find("; expected ") != std::string::npos;
    return fail(message + (says_what ? "" : "; expected what 'konv --help' or 'konv SUBCOMMAND --help' lists"), 2);
  } catch (const std::bad_alloc&) {
    return fail("out of memory; expected a smaller batch or model", 1);
  } catch (const std::exception& e) {
    return fail(one_line(e.what()), 1);
  }
}
