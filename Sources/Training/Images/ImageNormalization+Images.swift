import CKernels
import CoppiceModels
import CoppiceTensors

extension ImageNormalization {
    /// Mean and deviation of images themselves, by channel; a channel without contrast is divided by 1. O(pixels).
    public init(of dataSet: ImageDataSet) {
        guard !dataSet.isOfSeries else {
            self.init(ofValues: dataSet.pixels.floats())
            return
        }
        let (channels, plane) = (dataSet.channels, dataSet.rows * dataSet.columns)
        var sums = [UInt64](repeating: 0, count: channels)
        var squares = sums
        dataSet.pixels.withElements(UInt8.self) { pixels in
            coppice_image_moments(pixels.baseAddress, dataSet.count, channels, plane, &sums, &squares)
        }
        let count = Double(dataSet.count * plane)
        let mean = sums.map { Double($0) / count / 255 }
        let variance = zip(mean, squares).map { max(0, Double($1) / count / (255 * 255) - $0 * $0) }
        // Less than a tenth of a byte's step is rounding, no contrast.
        self.init(mean: mean, deviation: variance.map { $0 < 1.5e-7 ? 1 : $0.squareRoot() })
    }

    /// Mean and deviation of numbers; numbers without contrast are divided by 1. O(numbers).
    ///
    /// - Precondition: at least one, all finite.
    init(ofValues values: [Float]) {
        let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
        let variance = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(values.count)
        // Less is the rounding of f32, no contrast.
        let isEven = variance.squareRoot() <= 1e-6 * abs(mean)
        self.init(mean: [mean], deviation: [isEven ? 1 : variance.squareRoot()])
    }

    /// What every byte becomes: `[channels · 256]`.
    var table: [Float] {
        zip(mean, deviation).flatMap { mean, deviation in
            (0..<256).map { Float((Double($0) / 255 - mean) / deviation) }
        }
    }
}
