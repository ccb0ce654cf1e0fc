import CKernels
import CoppiceNetworks
import CoppiceTensors

/// Batches of images or series to train on: normalized, images changed at random, in an order of its own each epoch.
///
/// The batch of a step is a function of the images, the seed and the step alone.
public struct ImageBatches: BatchSource {
    public let dataSet: ImageDataSet
    public let batchSize: Int
    public let seed: UInt64
    public let augmentation: ImageAugmentation
    private let order: EpochOrder
    private let table: [Float]

    /// - Precondition: batches of at least one image; no augmentation of series.
    public init(_ dataSet: ImageDataSet, batchSize: Int, seed: UInt64, augmentation: ImageAugmentation = .none) {
        precondition(batchSize > 0, "batches of \(batchSize)")
        precondition(augmentation == .none || !dataSet.isOfSeries, "augmentation is of images")
        self.dataSet = dataSet
        self.batchSize = batchSize
        self.seed = seed
        self.augmentation = augmentation
        order = EpochOrder(count: dataSet.count, seed: seed)
        table = dataSet.normalization.table
    }

    public var batchesPerEpoch: Int { max(1, dataSet.count / batchSize) }

    /// f32 `[batch, channels, rows, columns]` and i64 `[batch]`. Threaded.
    public func batch(at step: Int) -> LabeledBatch {
        let first = step * batchSize
        let views = (first..<(first + batchSize)).map { sample in
            augmentation.view(
                of: order.index(ofSample: sample), sample: sample, seed: seed, rows: dataSet.rows,
                columns: dataSet.columns)
        }
        return dataSet.batch(views, table: table)
    }
}

extension ImageDataSet {
    /// All images once, in their own order and as they are, in batches of at most `size` that are made when their turn
    /// comes.
    ///
    /// - Precondition: `size` is at least 1.
    public func batches(of size: Int) -> some Sequence<LabeledBatch> {
        precondition(size > 0, "batches of \(size)")
        let table = normalization.table
        return stride(from: 0, to: count, by: size).lazy.map { start in
            let views = (start..<min(start + size, count)).map {
                ImageAugmentation.none.view(of: $0, sample: 0, seed: 0, rows: rows, columns: columns)
            }
            return batch(views, table: table)
        }
    }

    /// Some views of images as a batch.
    fileprivate func batch(_ views: [coppice_image_view], table: [Float]) -> LabeledBatch {
        let targets = Tensor(views.map { labels[Int($0.index)] })
        guard !isOfSeries else {
            return LabeledBatch(inputs: normalized(views.map { Int($0.index) }), targets: targets)
        }
        let inputs = Tensor(uninitialized: [views.count, channels, rows, columns])
        pixels.withElements(UInt8.self) { pixels in
            coppice_image_batch(
                pixels.baseAddress, channels, rows, columns, views, views.count, table,
                inputs.basePointer.assumingMemoryBound(to: Float.self))
        }
        return LabeledBatch(inputs: inputs, targets: targets)
    }

    /// Some series as a network sees them: f32 `[series, 1, steps, 1]`.
    private func normalized(_ indices: [Int]) -> Tensor {
        let (mean, deviation) = (normalization.mean[0], normalization.deviation[0])
        let values = pixels.withElements(Float.self) { values in
            indices.flatMap { index in
                values[(index * rows)..<((index + 1) * rows)].map { Float((Double($0) - mean) / deviation) }
            }
        }
        return Tensor(values, shape: [indices.count, 1, rows, 1])
    }
}
