import CKernels
import CoppiceTensors
import Foundation
import Testing

extension SerializedByVariant {
    @Suite struct RandomTests {
        @Test(arguments: [
            (
                counter: [UInt32](repeating: 0, count: 4), key: [UInt32](repeating: 0, count: 2),
                words: [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8] as [UInt32]
            ),
            (
                [UInt32](repeating: .max, count: 4), [UInt32](repeating: .max, count: 2),
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
            ),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
            ),
        ])
        func philoxGivesThePublishedBlocks(counter: [UInt32], key: [UInt32], words: [UInt32]) {
            var result = [UInt32](repeating: 0, count: 4)
            coppice_philox4x32(counter, key, &result)
            #expect(result == words)
        }

        @Test func tensorsAreBlocksOfPhilox() {
            var generator = RandomGenerator(seed: 0xa409_3822_299f_31d0, stream: 5)
            let values = Tensor.uniform([128], using: &generator).floats()
            for element in [0, 1, 15, 16, 63, 64, 127] {
                let (group, place) = (element / 64, element % 64)
                let counter: [UInt32] = [UInt32(group * 16 + place % 16), 0, 5, 0]
                var words = [UInt32](repeating: 0, count: 4)
                coppice_philox4x32(counter, [0x299f_31d0, 0xa409_3822], &words)
                #expect(values[element] == Float(words[place / 16] >> 8) / 16_777_216)
            }
            #expect(generator.position == 32)
        }

        /// One fingerprint for each kind of draw: recorded once, so that a change of the algorithm shows, and equal
        /// for every variant and number of threads.
        @Test func everyMachineDrawsTheSameBits() {
            var fingerprints: Set<[UInt64]> = []
            underEveryVariant { _ in
                var generator = RandomGenerator(seed: 7)
                fingerprints.insert([
                    fingerprint(.uniform([70_001], low: -3, high: 5, using: &generator)),
                    fingerprint(.uniform([40_003], low: -3, high: 5, dataType: .f64, using: &generator)),
                    fingerprint(.normal([70_001], mean: 1, standardDeviation: 2, using: &generator)),
                    fingerprint(.normal([40_003], dataType: .f64, using: &generator)),
                    fingerprint(.bernoulli([70_001], probability: 0.3, using: &generator)),
                    fingerprint(.bernoulliMask([70_001], probability: 0.3, value: 1.5, using: &generator)),
                    fingerprint(.randomIntegers([40_003], in: -5..<1_000_003, using: &generator)),
                    fingerprint(.randomPermutation(1001, using: &generator)),
                    generator.next(),
                ])
            }
            #expect(
                fingerprints == [
                    [
                        1_565_691_508_951_622_078, 3_815_938_909_081_876_247, 10_583_634_083_508_168_402,
                        6_633_022_825_593_264_628, 2_938_419_515_949_539_291, 3_803_731_061_874_812_248,
                        1_224_956_933_948_038_303, 14_908_333_165_255_486_216, 10_338_394_169_919_329_038,
                    ]
                ])
        }

        @Test(arguments: [0, 1, 31, 32, 33, 63, 64, 65, 4099])
        func shorterDrawsAreBeginningsOfLongerOnes(count: Int) {
            func draw(_ count: Int) -> [[Double]] {
                let generator = RandomGenerator(seed: 3)
                var (a, b, c, d) = (generator, generator, generator, generator)
                return [
                    Tensor.uniform([count], using: &a).doubles(),
                    Tensor.normal([count], using: &b).doubles(),
                    Tensor.normal([count], dataType: .f64, using: &c).doubles(),
                    Tensor.randomIntegers([count], in: 0..<10, using: &d).integers().map(Double.init),
                ]
            }
            #expect(draw(count) == draw(5000).map { Array($0.prefix(count)) })
        }

        /// The kernels' own logarithm, sine and cosine against the system's.
        @Test func normalNumbersAreBoxAndMullers() {
            var (a, b) = (RandomGenerator(seed: 9), RandomGenerator(seed: 9))
            let (single, double) = (
                Tensor.normal([64_000], using: &a).doubles(),
                Tensor.normal([32_000], dataType: .f64, using: &b).doubles()
            )
            var words = [UInt32](repeating: 0, count: 4)
            var (worstSingle, worstDouble) = (0.0, 0.0)
            for block in 0..<16_000 {
                let (group, lane) = (block / 16, block % 16)
                coppice_philox4x32([UInt32(block), 0, 0, 0], [9, 0], &words)
                for half in 0...1 {
                    let radius = (-2 * log((Double(words[half]) + 0.5) * 0x1p-32)).squareRoot()
                    let angle = 2 * Double.pi * Double(words[half + 2]) * 0x1p-32
                    let index = group * 64 + half * 16 + lane
                    worstSingle = max(worstSingle, abs(single[index] - radius * cos(angle)) / radius)
                    worstSingle = max(worstSingle, abs(single[index + 32] - radius * sin(angle)) / radius)
                }
                let bits = UInt64(words[0]) | UInt64(words[1]) << 32
                let turn = UInt64(words[2]) | UInt64(words[3]) << 32
                let radius = (-2 * log((Double(bits >> 12) + 0.5) * 0x1p-52)).squareRoot()
                let angle = 2 * Double.pi * Double(turn >> 11) * 0x1p-53
                let index = group * 32 + lane
                worstDouble = max(worstDouble, abs(double[index] - radius * cos(angle)) / radius)
                worstDouble = max(worstDouble, abs(double[index + 16] - radius * sin(angle)) / radius)
            }
            #expect(worstSingle < 6e-8)
            #expect(worstDouble < 2e-15)
        }

        @Test func successiveDrawsDiffer() {
            var generator = RandomGenerator(seed: 3)
            let draws = (0..<20).map { _ in Tensor.uniform([3], using: &generator).floats() }
            #expect(Set(draws).count == 20)
        }

        @Test func splitsAreIndependentAndReproducible() {
            var (a, b) = (RandomGenerator(seed: 1), RandomGenerator(seed: 1))
            var (first, again) = (a.split(), b.split())
            var second = a.split()
            let numbers = first.next()
            #expect(numbers == again.next())
            #expect(numbers != second.next())
            #expect(a.next() != numbers)
            #expect(RandomGenerator(seed: 1, stream: 1) != RandomGenerator(seed: 1))
        }

        @Test func moments() {
            var generator = RandomGenerator(seed: 11)
            let n = 400_000
            for type in [DataType.f32, .f64] {
                let normal = Tensor.normal([n], dataType: type, using: &generator).doubles()
                // Bounds are five standard errors of each moment.
                let error = 5 / Double(n).squareRoot()
                #expect(abs(moment(normal, 1)) < error)
                #expect(abs(moment(normal, 2) - 1) < error * 2.0.squareRoot())
                #expect(abs(moment(normal, 3)) < error * 15.0.squareRoot())
                #expect(abs(moment(normal, 4) - 3) < error * 96.0.squareRoot())
                let lag = zip(normal, normal.dropFirst()).map { $0 * $1 }.reduce(0, +) / Double(n)
                #expect(abs(lag) < error)
                let uniform = Tensor.uniform([n], dataType: type, using: &generator).doubles()
                #expect(uniform.allSatisfy { $0 >= 0 && $0 < 1 })
                #expect(abs(moment(uniform, 1) - 0.5) < error / 12.0.squareRoot())
                #expect(abs(moment(uniform, 2) - 1 / 3) < error * 0.3)
            }
        }

        /// Kolmogorov and Smirnov's test against the distribution function, at the 10⁻⁶ level.
        @Test func normalNumbersFollowTheirDistribution() {
            var generator = RandomGenerator(seed: 12)
            let n = 200_000
            let sorted = Tensor.normal([n], mean: -1, standardDeviation: 3, using: &generator).doubles().sorted()
            var distance = 0.0
            for (i, x) in sorted.enumerated() {
                let expected = 0.5 * erfc(-(x + 1) / 3 / 2.0.squareRoot())
                distance = max(
                    distance, abs(expected - Double(i) / Double(n)), abs(expected - Double(i + 1) / Double(n)))
            }
            #expect(distance * Double(n).squareRoot() < 2.7)
        }

        @Test func boundsHold() {
            var generator = RandomGenerator(seed: 13)
            // A range of three neighbouring numbers: rounding must not reach the upper bound.
            let low = 1.0
            let high = Double(Float(1).nextUp.nextUp)
            let narrow = Tensor.uniform([10_000], low: low, high: high, using: &generator).doubles()
            #expect(narrow.allSatisfy { $0 >= low && $0 < high })
            #expect(Set(narrow).count == 2)
            #expect(Set(Tensor.uniform([9], low: 2, high: 2, using: &generator).floats()) == [2])
            #expect(Set(Tensor.bernoulli([999], probability: 0, dataType: .f32, using: &generator).floats()) == [0])
            #expect(Set(Tensor.bernoulli([999], probability: 1, dataType: .f32, using: &generator).floats()) == [1])
            #expect(Set(Tensor.normal([9], mean: 4, standardDeviation: 0, using: &generator).floats()) == [4])
            #expect(Tensor.uniform([0, 3], using: &generator).count == 0)
            #expect(Tensor.normal([], using: &generator).count == 1)
        }

        @Test func maskAndBernoulliAgree() {
            let generator = RandomGenerator(seed: 14)
            for type in [DataType.f32, .f64] {
                var (a, b) = (generator, generator)
                let kept = Tensor.bernoulli([1000], probability: 0.8, dataType: .f64, using: &a).doubles()
                let mask = Tensor.bernoulliMask([1000], probability: 0.8, value: 1.25, dataType: type, using: &b)
                #expect(mask.dataType == type)
                #expect(mask.doubles() == kept.map { $0 * 1.25 })
                #expect(abs(kept.reduce(0, +) - 800) < 5 * 160.0.squareRoot())
                #expect(a == b)
            }
        }

        @Test func integersAreUnbiased() {
            var generator = RandomGenerator(seed: 15)
            // Three quarters of 2^64: without rejection the first third would come up twice as often as the rest.
            let values = Tensor.randomIntegers([90_000], in: -(1 << 62)..<Int.max, using: &generator).integers()
            var counts = [0, 0, 0]
            for value in values { counts[min(2, Int((Double(value) + 0x1p62) / 0x1p62))] += 1 }
            for count in counts { #expect(abs(Double(count) - 30_000) < 5 * 20_000.0.squareRoot()) }
            let dice = Tensor.randomIntegers([60_000], in: 1..<7, using: &generator).integers()
            #expect(Set(dice) == [1, 2, 3, 4, 5, 6])
            for face in 1...6 {
                #expect(abs(Double(dice.count { $0 == face }) - 10_000) < 5 * 8333.0.squareRoot())
            }
            #expect(Set(Tensor.randomIntegers([50], in: 7..<8, using: &generator).integers()) == [7])
        }

        @Test func permutationsAreUniform() {
            var generator = RandomGenerator(seed: 16)
            var counts: [[Int]: Int] = [:]
            for _ in 0..<12_000 { counts[Tensor.randomPermutation(4, using: &generator).integers(), default: 0] += 1 }
            #expect(counts.count == 24)
            for count in counts.values { #expect(abs(count - 500) < 5 * 22) }
            #expect(Tensor.randomPermutation(1000, using: &generator).integers().sorted() == Array(0..<1000))
            #expect(Tensor.randomPermutation(0, using: &generator).count == 0)
            #expect(Tensor.randomPermutation(1, using: &generator).integers() == [0])
        }

        @Test func aStateIsSavedAndRestored() throws {
            var generator = RandomGenerator(seed: 17, stream: 3)
            _ = Tensor.normal([100], using: &generator)
            let saved = try JSONEncoder().encode(generator)
            var restored = try JSONDecoder().decode(RandomGenerator.self, from: saved)
            #expect(restored == generator)
            #expect(restored.next() == generator.next())
        }
    }
}

/// FNV-1a over the bytes of a tensor.
private func fingerprint(_ tensor: Tensor) -> UInt64 {
    let bytes = UnsafeRawBufferPointer(start: tensor.basePointer, count: tensor.byteCount)
    return withExtendedLifetime(tensor.storage) {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}

private func moment(_ values: [Double], _ order: Int) -> Double {
    var sum = 0.0
    for value in values { sum += (0..<order).reduce(1) { product, _ in product * value } }
    return sum / Double(values.count)
}
