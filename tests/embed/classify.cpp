// Embedding konv in C++: classify one image.  classify MODEL.konv RGB_FILE (32 x 32 interleaved 8-bit pixels)
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

#include <konv/konv.hpp>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    const konv::Model model = konv::Model::load(argv[1]);
    std::ifstream file(argv[2], std::ios::binary);
    const std::vector<char> pixels{std::istreambuf_iterator<char>(file), {}};

    std::vector<float> input(3 * 32 * 32);
    model.preprocess(reinterpret_cast<const unsigned char*>(pixels.data()), 32, 32, input.data());

    konv::Session session(model);
    session.run({{.shape = {1, 3, 32, 32}, .data = input.data()}});
    const auto scores = session.output(0).values<float>();
    const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
    std::printf("%s\n", model.labels().at(static_cast<std::size_t>(best)).c_str());
  } catch (const konv::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
