import CKernels
import CoppiceModels
import CoppiceTensors

extension ImageNormalization {
    /// Mean and deviation of images themselves, by channel; a channel without contrast is divided by 1. O(pixels).
    public init(of dataSet: ImageDataSet) {
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

    /// What every byte becomes: `[channels · 256]`.
    var table: [Float] {
        zip(mean, deviation).flatMap { mean, deviation in
            (0..<256).map { Float((Double($0) / 255 - mean) / deviation) }
        }
    }
}
