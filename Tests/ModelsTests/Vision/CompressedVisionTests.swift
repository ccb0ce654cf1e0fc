import CoppiceFormats
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// Vision networks whose weights are stored in sparse formats.
@Suite struct CompressedVisionTests {
    /// LeNet-5 with nine of ten weights of its second convolution zero, and 1:4 in its first linear layer.
    private func sparse() throws -> (network: any VisionNetwork, formats: [String: any WeightFormat]) {
        let network = try VisionArchitecture(named: "lenet-5", widthMultiplier: 0.5).makeNetwork(seed: 4)
        var formats: [String: any WeightFormat] = [:]
        for (name, parameter) in network.parameters where name == "conv2.weight" || name == "fc1.weight" {
            let step = name == "conv2.weight" ? 10 : 4
            parameter.update { values in
                for index in values.indices where index % step != 1 { values[index] = 0 }
            }
            let shape = parameter.wrappedValue.shape
            let matrix = parameter.wrappedValue.detached().reshaped([shape[0], shape[1...].reduce(1, *)])
            formats[name] =
                step == 10
                ? try BitmaskSparseWeight(packing: matrix, values: .float(.f32))
                : try SemiStructuredWeight(packing: matrix, kept: 1, of: 4, values: .float(.f32))
        }
        return (network, formats)
    }

    private func numbers(_ network: any VisionNetwork) -> [[Double]] {
        network.parameters.map { $0.parameter.wrappedValue.doubles() }
    }

    @Test func sparseWeightsReturnAsTheyWere() throws {
        let scratch = try ScratchFolder()
        let (network, formats) = try sparse()
        try VisionCheckpoint.write(network, file: scratch["dense.safetensors"])
        try VisionCheckpoint.write(network, formats: formats, file: scratch["small.safetensors"])
        try VisionCheckpoint.write(network, formats: formats, folder: scratch["small"])
        for path in ["small.safetensors", "small", "small/model.safetensors"] {
            let checkpoint = try VisionCheckpoint.open(scratch[path])
            #expect(checkpoint.architecture.name == "lenet-5")
            #expect(checkpoint.tensors.isCompressed("conv2.weight") && checkpoint.tensors.isCompressed("fc1.weight"))
            #expect(!checkpoint.tensors.isCompressed("fc2.weight"))
            #expect(checkpoint.tensors.shape(of: "conv2.weight") == [25, 10, 5, 5])
            #expect(numbers(try checkpoint.network()) == numbers(network))
        }
        func size(_ name: String) throws -> Int {
            try #require(
                FileManager.default.attributesOfItem(atPath: scratch[name])[.size] as? Int)
        }
        // A quarter of fc1's values and a bit for each place remain of the largest weight.
        #expect(Double(try size("small.safetensors")) < 0.4 * Double(try size("dense.safetensors")))
    }

    @Test func inventoriesOfVisionNetworks() throws {
        let scratch = try ScratchFolder()
        let (network, formats) = try sparse()
        let normalization = ImageNormalization(mean: [0.5], deviation: [0.25])
        try VisionCheckpoint.write(network, normalization: normalization, formats: formats, folder: scratch["small"])
        let inventory = try ModelInventory(AnyCheckpoint.open(scratch["small"]))
        #expect(inventory.entries.map(\.name) == network.parameters.map(\.name))
        #expect(inventory.total.elementCount == network.parameterCount)
        let second = try #require(inventory.entries.first { $0.name == "conv2.weight" })
        #expect(second.format == "sparse-bitmask-f32" && second.sparsity == 0.9)
        let hidden = try #require(inventory.entries.first { $0.name == "fc1.weight" })
        #expect(hidden.format == "sparse-1:4-f32" && hidden.sparsity == 0.75 && hidden.bitsPerWeight < 10)
        let json = inventory.json
        #expect(json["config"]?["architecture"]?.stringValue == "lenet-5")
        #expect(json["config"]?["mean"]?[0]?.doubleValue == 0.5)
        #expect(json["totals"]?["bytes"]?.intValue == inventory.total.byteCount)
        let lines = inventory.text.split(separator: "\n")
        #expect(lines[0].hasPrefix("lenet-5 × 0.5, "))
        #expect(
            lines.contains { $0.hasPrefix("fc1.weight ") && $0.contains("75.0 %  ███████▌··") }, "\(inventory.text)")
        #expect(!inventory.text.contains("kernel"))
        // 24 × 24 and 8 × 8 pixels; a tenth and a quarter of what can be is left.
        let (dense, left) = (576 * 250 + 64 * 6250 + 100_000 + 2500, 576 * 250 + 64 * 625 + 25_000 + 2500)
        #expect(inventory.multiplications == (dense, left))
        #expect(json["totals"]?["multiplications"]?.intValue == left)
        #expect(json["totals"]?["multiplications_dense"]?.intValue == dense)
        #expect(lines[0].hasSuffix("211,500 multiplications for an image (32.7 %)"), "\(lines[0])")
        #expect(lines.contains { $0.hasPrefix("conv2.weight ") && $0.hasSuffix(" 40,000") })
    }

    @Test func kindsOfModelsAreTold() throws {
        let scratch = try ScratchFolder()
        let network = try VisionArchitecture(named: "resnet8", widthMultiplier: 0.25).makeNetwork()
        let tensors =
            network.parameters.map { (name: $0.name, tensor: $0.parameter.wrappedValue.detached()) }
            + network.stateTensors.map { (name: $0.name, tensor: $0.state.wrappedValue) }
        try SafetensorsWriter.write(tensors, to: scratch["bare.safetensors"])
        guard case .vision(let bare) = try AnyCheckpoint.open(scratch["bare.safetensors"]) else {
            Issue.record("a bare file is a vision network")
            return
        }
        #expect(bare.architecture.name == "resnet8")
        let inventory = try ModelInventory(.vision(bare))
        #expect(inventory.entries.filter(\.isParameter).count == network.parameters.count)
        #expect(inventory.entries.contains { $0.name == "bn1.running_mean" && !$0.isParameter })
        #expect(inventory.total.elementCount == network.parameterCount)
        // A file that is no network of any kind says so, and a folder of a language model stays one.
        try SafetensorsWriter.write([("a.weight", .ones([2, 2]))], to: scratch["other.safetensors"])
        #expect(refusal { _ = try AnyCheckpoint.open(scratch["other.safetensors"]) }.contains("no vision architecture"))
        try scratch.write("model/config.json", "{}")
        #expect(refusal { _ = try AnyCheckpoint.open(scratch["model"]) }.contains("model_type"))
        try scratch.write("vision/config.json", #"{"architecture": "resnet21"}"#)
        #expect(refusal(.noInput) { _ = try AnyCheckpoint.open(scratch["vision"]) }.contains("model.safetensors"))
    }

    @Test func descriptionsThatMakeNoSense() throws {
        let scratch = try ScratchFolder()
        let (network, formats) = try sparse()
        let path = scratch["small.safetensors"]
        try VisionCheckpoint.write(network, formats: formats, file: path)
        let file = try SafetensorsFile(path: path)
        let tensors = try file.names.map { (name: $0, tensor: try file.tensor($0).copied()) }
        let description = try #require(file.metadata["coppice.weights"])
        func message(_ from: String, _ to: String) throws -> String {
            #expect(description.contains(from), "\(from) in \(description)")
            var metadata = file.metadata
            metadata["coppice.weights"] = description.replacing(from, with: to)
            try SafetensorsWriter.write(tensors, metadata: metadata, to: scratch["bad.safetensors"])
            return refusal { _ = try VisionCheckpoint.open(scratch["bad.safetensors"]).network() }
        }
        #expect(try message("[25,10,5,5]", "[25,10,5]").contains("conv2.weight: shape [25, 10, 5]"))
        #expect(try message("[25,10,5,5]", "[25,-10,5,5]").contains("conv2.weight.tensor: is [25,-10,5,5], expected"))
        let huge = try message("[25,10,5,5]", "[25,268435456,268435456,268435456]")
        #expect(huge.contains("conv2.weight.tensor: is"))
        #expect(try message("[25,250]", "[25,249]").contains("conv2.weight.shape"))
        #expect(try message("sparse-bitmask", "sparse-mist").contains("expected one of"))
        #expect(try message("{", "[").contains("coppice.weights"))
    }
}
