import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// Images that a recurrent network reads as sequences.
@Suite struct SequenceInputTests {
    /// Values that differ everywhere.
    private func images(_ shape: [Int]) -> Tensor {
        Tensor((0..<shape.reduce(1, *)).map { sin(0.37 * Float($0)) }, shape: shape)
    }

    /// Row by row, in a row from left to right, of a pixel its channels.
    @Test(arguments: [(1, 6, 5, nil), (3, 4, 5, nil), (1, 4, 6, 24), (3, 4, 5, 12), (2, 4, 6, 2), (1, 4, 6, 8)])
    func stepsAreRead(channels: Int, rows: Int, columns: Int, length: Int?) throws {
        let shape = [channels, rows, columns]
        let architecture = try VisionArchitecture(
            named: "fastgrnn-7", images: shape, classes: 4, sequenceLength: length)
        let (steps, values) = (length ?? rows, shape.reduce(1, *))
        #expect(architecture.inputShape == [steps, values / steps] && architecture.classes == 4)
        #expect(architecture.takesSequences && architecture.takes(images: shape))
        #expect(!architecture.takes(images: [channels, rows, columns + 1]))
        let network = architecture.makeNetwork(seed: 2)
        let batch = images([3] + shape)
        let pixels = batch.floats()
        var read: [Float] = []
        for image in 0..<3 {
            for row in 0..<rows {
                for column in 0..<columns {
                    for channel in 0..<channels {
                        read.append(pixels[((image * channels + channel) * rows + row) * columns + column])
                    }
                }
            }
        }
        let sequences = Tensor(read, shape: [3, steps, values / steps])
        #expect(network.outputs(batch).floats() == network.outputs(sequences).floats())
        #expect(network.outputs(batch.channelsLast()).floats() == network.outputs(sequences).floats())
    }

    @Test func otherNetworksTakeImagesAsTheyAre() throws {
        let plain = try VisionArchitecture(named: "resnet8", images: [1, 12, 14], classes: 3, widthMultiplier: 0.5)
        #expect(!plain.takesSequences && plain.inputShape == [1, 12, 14])
        #expect(plain.takes(images: [1, 12, 14]) && !plain.takes(images: [1, 14, 12]))
        func message(_ name: String, _ length: Int) -> String {
            do {
                _ = try VisionArchitecture(named: name, images: [1, 28, 28], classes: 10, sequenceLength: length)
                return "nothing was wrong"
            } catch { return "\(error)" }
        }
        #expect(message("resnet20", 28) == "sequence_length: has no meaning for resnet20, which takes images")
        #expect(
            message("fastgrnn", 100)
                == "sequence_length: 100 steps do not divide the 784 values of 1 × 28 × 28, expected a divisor, such as "
                + "28 for a row in each step")
        #expect(message("fastgrnn", 0).contains("0 steps do not divide"))
    }

    /// The normalization is of the images, not of the steps.
    @Test func normalizationOfTheImagesIsStored() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/sequences-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let architecture = try VisionArchitecture(named: "fastgrnn-5-w2", images: [3, 4, 6], classes: 3)
        let network = architecture.makeNetwork(seed: 1)
        for normalization in [ImageNormalization.imageNet, .mnist] {
            try VisionCheckpoint.write(network, normalization: normalization, folder: folder)
            let opened = try VisionCheckpoint.open(folder)
            #expect(opened.normalization == normalization && opened.architecture == architecture)
        }
        // Seven channels are those of no image of 72 values.
        let seven = ImageNormalization.centred(channels: 7)
        try VisionCheckpoint.write(network, normalization: seven, folder: folder)
        #expect { _ = try VisionCheckpoint.open(folder) } throws: { "\($0)".contains("mean") }
    }
}
