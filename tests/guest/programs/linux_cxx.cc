// C++ as people write it: iostream, exceptions through frames, containers, threads, a static's destructor.
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct Farewell {
    ~Farewell() { std::cout << "goodbye" << std::endl; }
};
static Farewell farewell;

static int deep(int level) {
    std::string keeps("destroyed on the way");
    if (level == 0)
        throw std::runtime_error("from below");
    return deep(level - 1) + static_cast<int>(keeps.size());
}

int main() {
    std::map<std::string, int> words;
    std::string word;
    while (std::cin >> word)
        words[word]++;
    for (auto &[name, count] : words)
        std::cout << name << "=" << count << " ";
    try {
        deep(20);
    } catch (const std::exception &error) {
        std::cout << "caught " << error.what() << std::endl;
    }
    std::vector<int> results(4);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&results, i] {
            try {
                throw i;
            } catch (int value) {
                results[i] = value * value;
            }
        });
    for (auto &thread : threads)
        thread.join();
    std::ostringstream text;
    text << results[1] + results[2] + results[3] << " " << 1.5e10;
    std::cout << text.str() << std::endl;
    return 7;
}
