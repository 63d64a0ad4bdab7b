// konv.h over konv.hpp: exceptions stop here.
#include <konv/konv.h>

#include <string>
#include <utility>

#include <konv/konv.hpp>

struct konv_model {
  konv::Model model;
};

struct konv_session {
  konv::Session session;
};

namespace {

thread_local std::string last_error;  // NOLINT: per thread, as the header promises

/// Calls f; on any exception keeps the message and returns `failed`.
template <class R, class F>
R guarded(R failed, F f) noexcept {
  try {
    last_error.clear();
    return f();
  } catch (const std::exception& e) {
    try {
      last_error = e.what();
    } catch (...) {
      last_error.clear();
    }
  } catch (...) {
    last_error.clear();
  }
  return failed;
}

}  // namespace

extern "C" {

const char* konv_version(void) { return konv::version(); }

const char* konv_last_error(void) { return last_error.c_str(); }

konv_model* konv_model_load(const char* path) {
  return guarded<konv_model*>(nullptr, [&] { return new konv_model{konv::Model::load(path)}; });
}

void konv_model_free(konv_model* model) { delete model; }

const char* konv_model_label(const konv_model* model, size_t index) {
  const std::vector<std::string>& labels = model->model.labels();
  return index < labels.size() ? labels[index].c_str() : nullptr;
}

int konv_model_preprocess(const konv_model* model, const uint8_t* rgb, int width, int height, float* out) {
  return guarded(-1, [&] {
    model->model.preprocess(rgb, width, height, out);
    return 0;
  });
}

konv_session* konv_session_create(const konv_model* model, int threads) {
  return guarded<konv_session*>(nullptr, [&] { return new konv_session{konv::Session(model->model, konv::Runtime(threads))}; });
}

void konv_session_free(konv_session* session) { delete session; }

int konv_session_run(konv_session* session, const float* input, const int64_t* dims, size_t rank) {
  return guarded(-1, [&] {
    session->session.run({{.shape = std::vector<std::int64_t>(dims, dims + rank), .data = input}});
    return 0;
  });
}

const float* konv_session_output(const konv_session* session, size_t index, size_t* count) {
  return guarded<const float*>(nullptr, [&]() -> const float* {
    const konv::OutputTensor output = session->session.output(index);
    if (output.type != konv::Type::float32)
      throw konv::Error("output '" + output.name + "': is " + konv::type_name(output.type) + "; expected float32");
    *count = output.size_bytes / sizeof(float);
    return static_cast<const float*>(output.data);
  });
}

}  // extern "C"
