import CKernels
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

@Suite struct ImageBatchesTests {
    /// Image k has the byte k at its first place, so that it is known again in a batch.
    private func numbered(_ count: Int, rows: Int = 4, columns: Int = 5) -> ImageDataSet {
        let plane = rows * columns
        var bytes: [UInt8] = []
        for k in 0..<count {
            for place in 0..<(2 * plane) { bytes.append(place == 0 ? UInt8(k) : UInt8((place * 7 + k) % 256)) }
        }
        return ImageDataSet(
            name: "numbered", pixels: Tensor(bytes, shape: [count, 2, rows, columns]),
            labels: (0..<count).map { $0 % 3 }, classNames: ["a", "b", "c"],
            normalization: ImageNormalization(mean: [0, 0.5], deviation: [1.0 / 255, 0.25]))
    }

    private func bits(_ batch: LabeledBatch) -> [UInt32] { batch.inputs.floats().map(\.bitPattern) }

    @Test func eachEpochSeesEveryImageOnce() {
        let batches = ImageBatches(numbered(60), batchSize: 12, seed: 5)
        #expect(batches.batchesPerEpoch == 5)
        var orders: [[Int]] = []
        for epoch in 0..<3 {
            let seen = (0..<5).flatMap { step -> [Int] in
                let batch = batches.batch(at: epoch * 5 + step)
                #expect(batch.inputs.shape == [12, 2, 4, 5] && batch.targets.shape == [12])
                let numbers = batch.inputs.slice(axis: 1, 0..<1).reshaped([12, 20]).slice(axis: 1, 0..<1).floats()
                #expect(batch.targets.integers() == numbers.map { Int($0) % 3 })
                return numbers.map { Int($0) }
            }
            #expect(seen.sorted() == Array(0..<60))
            orders.append(seen)
        }
        #expect(Set(orders).count == 3)
    }

    @Test func normalizesAsTheFormulaSays() {
        let set = numbered(3)
        let batch = Array(set.batches(of: 2))
        #expect(batch.map(\.count) == [2, 1])
        let values = batch.flatMap { $0.inputs.floats() }
        for (index, byte) in set.pixels.bytes.enumerated() {
            let channel = index / 20 % 2
            let expected = (Double(byte) / 255 - [0, 0.5][channel]) / [1.0 / 255, 0.25][channel]
            #expect(abs(Double(values[index]) - expected) < 1e-4)
            #expect(values[index].isFinite)
        }
    }

    @Test func aBatchIsAFunctionOfSeedAndStep() {
        let set = ImageDataSet.shapes(50, size: 12, seed: 3)
        let augmentation = ImageAugmentation(padding: 2, flips: true, cutout: 4)
        let batches = ImageBatches(set, batchSize: 16, seed: 9, augmentation: augmentation)
        let again = ImageBatches(set, batchSize: 16, seed: 9, augmentation: augmentation)
        let other = ImageBatches(set, batchSize: 16, seed: 10, augmentation: augmentation)
        let threads = coppice_thread_count()
        defer { coppice_set_thread_count(threads) }
        for step in [7, 0, 3] {
            coppice_set_thread_count(4)
            let first = bits(batches.batch(at: step))
            coppice_set_thread_count(1)
            #expect(bits(again.batch(at: step)) == first)
            #expect(bits(other.batch(at: step)) != first)
        }
    }

    /// Every view equals the one that padding, cutting, mirroring and hiding give on whole arrays.
    @Test func augmentationMatchesItsDefinition() {
        let set = numbered(1, rows: 6, columns: 7)
        let plain = Array(set.batches(of: 1))[0].inputs.floats()
        let outside = [Float(0), -2]
        func view(_ dy: Int, _ dx: Int, _ flips: Bool) -> [Float] {
            (0..<2).flatMap { channel in
                (0..<42).map { place in
                    let (y, x) = (place / 7 + dy, (flips ? 6 - place % 7 : place % 7) + dx)
                    return (0..<6).contains(y) && (0..<7).contains(x)
                        ? plain[channel * 42 + y * 7 + x] : outside[channel]
                }
            }
        }
        var views: [[Float]: (Int, Int, Bool)] = [:]
        for dy in -2...2 {
            for dx in -2...2 { for flips in [false, true] { views[view(dy, dx, flips)] = (dy, dx, flips) } }
        }
        #expect(views.count == 50)
        let batches = ImageBatches(
            set, batchSize: 5000, seed: 1, augmentation: ImageAugmentation(padding: 2, flips: true))
        var seen: [Int: Int] = [:]
        let values = batches.batch(at: 0).inputs.floats()
        for index in 0..<5000 {
            guard let found = views[Array(values[(index * 84)..<((index + 1) * 84)])] else {
                Issue.record("sample \(index) is no view of the image")
                return
            }
            seen[(found.0 + 2) * 10 + (found.1 + 2) * 2 + (found.2 ? 1 : 0), default: 0] += 1
        }
        // All 50 views are equally likely: 100 ± 10 of each; six deviations.
        #expect(seen.count == 50 && seen.values.allSatisfy { abs($0 - 100) < 60 })
        let flipped = seen.filter { $0.key % 2 == 1 }.values.reduce(0, +)
        #expect(abs(flipped - 2500) < 6 * 36)
    }

    @Test func cutoutHidesASquare() {
        let set = ImageDataSet(
            name: "white", pixels: Tensor([UInt8](repeating: 255, count: 100), shape: [1, 1, 10, 10]), labels: [0],
            classNames: ["a"], normalization: .centred(channels: 1))
        let batches = ImageBatches(set, batchSize: 2000, seed: 2, augmentation: ImageAugmentation(cutout: 4))
        let images = batches.batch(at: 0).inputs.floats()
        var sizes: Set<Int> = []
        var hits = [Int](repeating: 0, count: 100)
        for index in 0..<2000 {
            let hidden = (0..<100).filter { images[index * 100 + $0] == 0 }
            let rows = Set(hidden.map { $0 / 10 })
            let columns = Set(hidden.map { $0 % 10 })
            #expect(hidden.count == rows.count * columns.count)
            sizes.insert(hidden.count)
            for place in hidden { hits[place] += 1 }
        }
        // Centres at the border leave at least 2 × 2 inside.
        #expect(sizes == [4, 6, 8, 9, 12, 16])
        #expect(abs(hits[55] - 320) < 110)
    }

    @Test func drawnFiguresAreAFunctionOfTheSeed() {
        let set = ImageDataSet.shapes(40, size: 16, seed: 1)
        #expect(set.digest == ImageDataSet.shapes(40, size: 16, seed: 1).digest)
        #expect(set.digest != ImageDataSet.shapes(40, size: 16, seed: 2).digest)
        #expect(ImageDataSet.shapes(50, size: 16, seed: 1).subset(Array(0..<40)).digest == set.digest)
        #expect(set.classSizes == [Int](repeating: 4, count: 10))
        let own = ImageNormalization(of: set)
        #expect((0.1...0.4).contains(own.mean[0]) && (0.15...0.4).contains(own.deviation[0]))
    }

    @Test func asManyPatchesOfEachImageAreHidden() {
        let images = ImageBatches(numbered(30), batchSize: 6, seed: 5)
        let masked = MaskedPatches(images, patchCount: 16, hiddenCount: 10, seed: 3)
        #expect(masked.batchesPerEpoch == 5)
        var hidden = [Int](repeating: 0, count: 16)
        for step in 0..<50 {
            let batch = masked.batch(at: step)
            #expect(bits(batch) == bits(images.batch(at: step)) && batch.targets.shape == [6, 16])
            let rows = batch.targets.integers()
            #expect(rows.allSatisfy { $0 == 0 || $0 == 1 })
            for image in 0..<6 {
                let row = rows[(image * 16)...].prefix(16)
                #expect(row.reduce(0, +) == 10)
                for (patch, value) in row.enumerated() { hidden[patch] += value }
            }
        }
        // 300 draws of probability 10 / 16: 187.5 ± 8.4 of each patch.
        #expect(hidden.allSatisfy { (145...230).contains($0) })
        let (first, second) = (masked.batch(at: 0).targets.integers(), masked.batch(at: 1).targets.integers())
        #expect(masked.batch(at: 0).targets.integers() == first && first != second)
        let other = MaskedPatches(images, patchCount: 16, hiddenCount: 10, seed: 4)
        #expect(other.batch(at: 0).targets.integers() != first)
        for count in [0, 16] {
            let all = MaskedPatches(images, patchCount: 16, hiddenCount: count, seed: 3).batch(at: 2)
            #expect(all.targets.integers().reduce(0, +) == 6 * count)
        }
    }

    @Test func someClassesAreASetOfTheirOwn() throws {
        let set = numbered(10)
        let own = try set.keeping(classes: [2, 0])
        #expect(own.classNames == ["c", "a"] && own.count == 7)
        // Images 0, 2, 3, 5, 6, 8 and 9 in their order.
        #expect(own.labels == [1, 0, 1, 0, 1, 0, 1])
        let numbers = ImageBatches(own, batchSize: 7, seed: 1).batch(at: 0).inputs
            .slice(axis: 1, 0..<1).reshaped([7, 20]).slice(axis: 1, 0..<1).floats()
        #expect(numbers.map { Int($0) }.sorted() == [0, 2, 3, 5, 6, 8, 9])
        for wrong in [[], [0, 0], [3], [-1]] { #expect(throws: CoppiceError.self) { try set.keeping(classes: wrong) } }
        #expect(throws: CoppiceError.self) { try numbered(2).keeping(classes: [0, 2]) }
    }
}

@Suite struct PrefetchingTests {
    /// Counts how often each batch was made.
    private final class Counter: BatchSource, @unchecked Sendable {
        let lock = NSLock()
        var made: [Int] = []
        let delay: Double
        init(delay: Double = 0) { self.delay = delay }
        var batchesPerEpoch: Int { 10 }
        func batch(at step: Int) -> LabeledBatch {
            if delay > 0 { Thread.sleep(forTimeInterval: delay) }
            lock.withLock { made.append(step) }
            return LabeledBatch(inputs: Tensor([Float(step)]), targets: Tensor([step]))
        }
    }

    @Test(arguments: [1, 3])
    func givesTheBatchesOfItsSource(depth: Int) {
        let counter = Counter()
        let batches = PrefetchingBatches(counter, depth: depth)
        #expect(batches.batchesPerEpoch == 10)
        for step in [0, 1, 2, 3, 4, 40, 41, 7, 6, 5, 4, 4, 0] + Array(100..<300) {
            #expect(batches.batch(at: step).targets.integers() == [step])
        }
    }

    @Test func preparesWhatComesNextAndNoMore() throws {
        let counter = Counter()
        let batches = PrefetchingBatches(counter, depth: 2)
        _ = batches.batch(at: 0)
        for _ in 0..<2000 where counter.lock.withLock({ counter.made.count }) < 3 {
            Thread.sleep(forTimeInterval: 0.005)
        }
        Thread.sleep(forTimeInterval: 0.05)
        #expect(counter.lock.withLock { counter.made }.sorted() == [0, 1, 2])
        // A batch that is being made is waited for, not made twice.
        let slow = Counter(delay: 0.02)
        let others = PrefetchingBatches(slow, depth: 1)
        for step in 0..<6 { _ = others.batch(at: step) }
        #expect(Set(slow.lock.withLock { slow.made }.prefix(6)).count == 6)
    }

    @Test func goesWhenItIsDropped() {
        weak var counter: Counter?
        do {
            let source = Counter(delay: 0.01)
            counter = source
            let batches = PrefetchingBatches(source, depth: 3)
            _ = batches.batch(at: 0)
        }
        for _ in 0..<1000 where counter != nil { Thread.sleep(forTimeInterval: 0.005) }
        #expect(counter == nil)
    }
}
