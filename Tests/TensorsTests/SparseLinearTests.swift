import CKernels
import CoppiceTensors
import Testing

extension SerializedByVariant {
    /// Products with the kept entries of a matrix are those of the masked matrix.
    @Suite(.serialized) struct SparseLinearTests {
        /// A support of about a part of the entries.
        private func support(_ rows: Int, _ columns: Int, _ part: Double, seed: UInt64 = 4) -> SparseSupport {
            var generator = RandomGenerator(seed: seed)
            let flags = Tensor.bernoulli([rows * columns], probability: part, using: &generator).floats()
            var words = [UInt64](repeating: 0, count: (flags.count + 63) / 64)
            for (index, flag) in flags.enumerated() where flag == 1 { words[index / 64] |= 1 << UInt64(index % 64) }
            return SparseSupport(rows: rows, columns: columns, words: words)
        }

        private func largestError(_ a: Tensor, _ b: Tensor) -> Double {
            (a - b).abs().maximum().doubles()[0] / max(1, b.abs().maximum().doubles()[0])
        }

        /// Rows that end within a panel of 64, inputs and outputs that are no multiples of 16, empty lines.
        @Test(arguments: [(1, 1, 1, 1.0), (64, 16, 32, 0.2), (70, 37, 19, 0.3), (130, 100, 70, 0.05), (3, 20, 40, 0.0)])
        func productsAndGradientsAreThoseOfTheMaskedMatrix(
            rows: Int, inputs: Int, outputs: Int, part: Double
        ) throws {
            var generator = RandomGenerator(seed: 1)
            let support = support(outputs, inputs, part)
            let x = Tensor.normal([rows, inputs], using: &generator)
            // Entries that are not kept have values, which must not matter.
            let weight = Tensor.normal([outputs, inputs], using: &generator)
            let seed = Tensor.normal([rows, outputs], using: &generator)
            let (dx, dw) = (x.tracked(), weight.tracked())
            let dense = dx.matmul((dw * support.indicator).transposed())
            let expected = [dense] + gradients(of: dense, withRespectTo: [dx, dw], seed: seed)
            var first: [[Float]]?
            underEveryVariant { variant in
                let (sx, sw) = (x.tracked(), weight.tracked())
                let sparse = sx.multiplied(byTransposed: sw, keeping: support)
                let found = [sparse] + gradients(of: sparse, withRespectTo: [sx, sw], seed: seed)
                for (own, other) in zip(found, expected) { #expect(largestError(own, other) < 1e-5, "\(variant)") }
                let removed = zip(found[2].floats(), support.indicator.floats()).filter { $1 == 0 }
                #expect(removed.allSatisfy { $0.0 == 0 })
                if variant.hasSuffix("1 threads") {
                    first = found.map { $0.floats() }
                } else {
                    #expect(found.map { $0.floats() } == first, "\(variant): threads change the result")
                }
            }
        }

        /// Derivatives of any order, from the composition.
        @Test func itCanBeDifferentiatedTwice() {
            let support = support(3, 5, 0.5)
            GradientCheck("sparse linear", [GradientCheck.numbers([4, 5]), GradientCheck.numbers([3, 5], seed: 2)]) {
                $0[0].multiplied(byTransposed: $0[1], keeping: support).tanh()
            }.check()
        }

        /// In bf16 it is the dense product of what is kept.
        @Test func precisionIsKept() {
            var generator = RandomGenerator(seed: 3)
            let (x, w) = (Tensor.normal([40, 24], using: &generator), Tensor.normal([8, 24], using: &generator))
            let support = support(8, 24, 0.4)
            withOperandPrecision(.bf16) {
                let dense = x.matmul((w * support.indicator).transposed())
                #expect(x.multiplied(byTransposed: w, keeping: support).floats() == dense.floats())
            }
        }
    }

    /// Bitmaps, selections and steps of scores are the same under every variant.
    @Suite(.serialized) struct MaskKernelTests {
        private let values: [Float]
        private var words: [UInt64]

        init() {
            var generator = RandomGenerator(seed: 8)
            // Some equal ones, both zeros, an end within a word.
            values = Tensor.normal([1_003], using: &generator).floats().enumerated().map {
                $0.offset % 97 == 0 ? 0.25 : $0.offset % 89 == 0 ? ($0.offset % 2 == 0 ? 0 : -0.0) : $0.element
            }
            words = [UInt64](repeating: 0, count: (values.count + 63) / 64)
            for index in values.indices where index % 7 == 0 || (128..<200).contains(index) {
                words[index / 64] |= 1 << UInt64(index % 64)
            }
        }

        private func isKept(_ index: Int) -> Bool { words[index / 64] >> UInt64(index % 64) & 1 == 1 }

        @Test func bitmapsKeepWhatTheySay() {
            underEveryVariant { variant in
                var (copy, filled, zeroed) = (values.map { _ in Float.nan }, values, values)
                zeroed[1] = .nan
                coppice_bitmap_copy(values, values.count, words, &copy)
                coppice_bitmap_fill_removed(&filled, values.count, words, 5)
                coppice_bitmap_apply(&zeroed, values.count, words)
                for index in values.indices {
                    #expect(copy[index].bitPattern == (isKept(index) ? values[index] : 0).bitPattern, "\(variant)")
                    #expect(filled[index] == (isKept(index) ? values[index] : 5), "\(variant)")
                    #expect(zeroed[index].bitPattern == copy[index].bitPattern, "\(variant)")
                }
                let kept = values.indices.count(where: isKept)
                #expect(coppice_bitmap_count(words, words.count) == kept, "\(variant)")
                let all = [UInt64](repeating: .max, count: words.count)
                #expect(coppice_bitmap_count_both(words, all, words.count) == kept, "\(variant)")
            }
        }

        @Test(arguments: [Float(0.25), 0, -0.4]) func selectionsKeepWhatReachesTheThreshold(threshold: Float) {
            let equal = values.indices.filter { values[$0] == threshold }
            underEveryVariant { variant in
                var kept = [UInt64](repeating: .max, count: words.count)
                let ties = min(2, equal.count)
                let removed = coppice_selection_mask(
                    values, values.count, 0, coppice_order_key(threshold), ties, &kept)
                #expect(removed == ties, "\(variant)")
                for index in values.indices {
                    let expected = values[index] > threshold || equal.dropFirst(ties).contains(index)
                    #expect((kept[index / 64] >> UInt64(index % 64) & 1 == 1) == expected, "\(variant), \(index)")
                }
                var same = 0
                let below = coppice_selection_count_below(
                    values, values.count, coppice_order_key(threshold), &same)
                #expect(below == values.count { $0 < threshold } && same == equal.count, "\(variant)")
                let near = values.filter { $0 >= threshold - 0.1 && $0 <= threshold + 0.1 }
                var (found, under) = ([Float](repeating: 0, count: near.count + 64), 3)
                let count = coppice_selection_between(
                    values, values.count, 0, threshold - 0.1, threshold + 0.1, &found, near.count, &under)
                #expect(Array(found.prefix(count)) == near, "\(variant)")
                #expect(under == 3 + values.count { $0 < threshold - 0.1 }, "\(variant)")
                let few = coppice_selection_between(
                    values, values.count, 0, threshold - 0.1, threshold + 0.1, &found, near.count / 2 - 1, &under)
                #expect(few == -1, "\(variant)")
                // By size it is the selection of absolute values.
                let sizes = values.map { abs($0) }
                let (key, size) = (coppice_order_key(abs(threshold)), abs(threshold))
                var (own, expected) = (kept, kept)
                #expect(
                    coppice_selection_mask(values, values.count, 1, key, 2, &own)
                        == coppice_selection_mask(sizes, values.count, 0, key, 2, &expected), "\(variant)")
                #expect(own == expected, "\(variant)")
                let near2 = sizes.filter { $0 >= size - 0.05 && $0 <= size + 0.05 }
                var (found2, under2) = ([Float](repeating: 0, count: near2.count + 64), 0)
                let count2 = coppice_selection_between(
                    values, values.count, 1, size - 0.05, size + 0.05, &found2, near2.count, &under2)
                #expect(Array(found2.prefix(count2)) == near2 && under2 == sizes.count { $0 < size - 0.05 })
            }
        }

        @Test(arguments: [(Float(1), Float(0), Int32(1)), (0, 0.3, 1), (0, 0, 0), (0.5, 0, 0)])
        func scoresMoveByTheFormula(inverseGamma: Float, square: Float, bySize: Int32) {
            let slopes = values.map { $0 * 0.5 - 0.1 }
            let start = values.indices.map { values[($0 + 17) % values.count] }
            let momenta = values.indices.map { values[($0 + 31) % values.count] * 0.1 }
            let settings = coppice_score_settings(
                rate: 0.1, momentum: 0.9, decay: 0.01, inverse_gamma: inverseGamma, square: square, by_size: bySize)
            underEveryVariant { variant in
                var (velocities, scores) = (momenta, start)
                #expect(
                    coppice_score_step(values.count, settings, values, slopes, words, &velocities, &scores) == 1)
                for k in values.indices {
                    let direct = Double(values[k]) * Double(slopes[k])
                    let implicit = isKept(k) ? Double(inverseGamma) * Double(slopes[k]) * Double(slopes[k]) : 0
                    var slope = direct - implicit - Double(square) * direct * direct
                    if bySize == 1 { slope *= start[k] > 0 ? 1 : start[k] < 0 ? -1 : 0 }
                    let velocity = Double(momenta[k]) * 0.9 + slope + Double(start[k]) * 0.01
                    #expect(abs(Double(velocities[k]) - velocity) < 1e-6 * max(1, abs(velocity)), "\(variant)")
                    #expect(abs(Double(scores[k]) - (Double(start[k]) - velocity * 0.1)) < 1e-6, "\(variant)")
                }
                for (place, wrong) in [(1, Float.nan), (values.count - 1, -.infinity)] {
                    var (bad, v, s) = (slopes, momenta, start)
                    bad[place] = wrong
                    #expect(coppice_score_step(values.count, settings, values, bad, words, &v, &s) == 0, "\(variant)")
                }
            }
        }
    }
}
