/* Embedding konv in C: classify one image.  classify MODEL.konv RGB_FILE (32 x 32 interleaved 8-bit pixels) */
#include <stdio.h>

#include <konv/konv.h>

int main(int argc, char** argv) {
  static unsigned char pixels[3 * 32 * 32];
  static float input[3 * 32 * 32];
  const int64_t shape[] = {1, 3, 32, 32};
  FILE* file = argc == 3 ? fopen(argv[2], "rb") : NULL;
  if (!file || fread(pixels, 1, sizeof pixels, file) != sizeof pixels) return 2;
  fclose(file);

  konv_model* model = konv_model_load(argv[1]);
  konv_session* session = model ? konv_session_create(model, 0) : NULL;
  if (!session || konv_model_preprocess(model, pixels, 32, 32, input) || konv_session_run(session, input, shape, 4)) {
    fprintf(stderr, "%s\n", konv_last_error());
    return 1;
  }
  size_t count = 0, best = 0;
  const float* scores = konv_session_output(session, 0, &count);
  for (size_t i = 1; i < count; ++i) {
    if (scores[i] > scores[best]) best = i;
  }
  printf("%s\n", konv_model_label(model, best));
  konv_session_free(session);
  konv_model_free(model);
  return 0;
}
