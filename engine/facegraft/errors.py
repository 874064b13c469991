"""Every error that a caller of the engine can meet, as one family.

    FacegraftError
    ├── ParameterError          a value outside its range, or an unknown name
    ├── MediaError
    │   ├── SourceNotFound      no such clip, sequence or folder
    │   ├── UnreadableMedia     truncated or corrupt movie or image, unsupported pixel format
    │   └── WriteError          disk full, no permission, codec refused the settings
    ├── FacesetError
    │   ├── EmptyFaceset        a folder without a single aligned face
    │   ├── BadAlignedImage     one image that is corrupt or carries no metadata of ours
    │   ├── LabelError          mask labels of other programs that are damaged or mean nothing here
    │   ├── BadPack             a packed faceset that is damaged or none
    │   ├── FutureVersion       written by a newer FaceGraft than this one
    │   ├── SetInUse            a faceset that another process changes
    │   └── JournalError        noted changes of a set that cannot be taken back
    ├── WeightsError
    │   ├── MissingWeights      a network file that is not installed
    │   └── BadWeights          a file whose digest or content is not what it claims
    ├── ModelError
    │   ├── NotAModel           not an ONNX file, or one without the .dfm inputs and outputs
    │   └── ParityError         the exported file does not compute what the network computes
    ├── DflFormatError          a file of DeepFaceLab's that is damaged or asks to run something
    ├── TrainingDiverged        the loss is no longer a number
    ├── OutOfMemory             the device cannot hold the run
    ├── TrainingInterrupted     a worker of a distributed run was lost
    ├── CheckpointError         a run that cannot be loaded or does not fit the options
    ├── RunInUse                a run's folder that another training holds
    ├── WorkerError
    │   ├── WorkerDied          the engine process ended or never started
    │   ├── WorkerTimeout       no answer within the time limit
    │   └── ProtocolError       the two sides speak different versions, or a malformed message
    ├── MissingExtra            an optional package that is not installed
    └── Cancelled               the user asked to stop; what was done is kept

A message names the value, the limit and the next step. Each error also derives from the built-in it
resembles, so that ``except FileNotFoundError`` works where a caller expects it to.
"""


class FacegraftError(Exception):
    """Base of the family; the command line and the hosts show its text and no traceback."""


class ParameterError(FacegraftError, ValueError): ...


class MediaError(FacegraftError): ...


class SourceNotFound(MediaError, FileNotFoundError): ...


class UnreadableMedia(MediaError, ValueError): ...


class WriteError(MediaError, OSError): ...


class FacesetError(FacegraftError): ...


class EmptyFaceset(FacesetError, ValueError): ...


class LabelError(FacesetError, ValueError): ...


class BadAlignedImage(FacesetError, ValueError): ...


class BadPack(FacesetError, ValueError): ...


class FutureVersion(FacesetError, ValueError): ...


class SetInUse(FacesetError, BlockingIOError): ...


class JournalError(FacesetError, ValueError): ...


class WeightsError(FacegraftError): ...


class MissingWeights(WeightsError, FileNotFoundError): ...


class BadWeights(WeightsError, ValueError): ...


class ModelError(FacegraftError): ...


class NotAModel(ModelError, ValueError): ...


class ParityError(ModelError, ArithmeticError): ...


class DflFormatError(FacegraftError, ValueError): ...


class TrainingDiverged(FacegraftError, ArithmeticError): ...


class OutOfMemory(FacegraftError, MemoryError): ...


class TrainingInterrupted(FacegraftError, ConnectionError): ...


class CheckpointError(FacegraftError, ValueError): ...


class RunInUse(FacegraftError, BlockingIOError): ...


class WorkerError(FacegraftError): ...


class WorkerDied(WorkerError, ConnectionError): ...


class WorkerTimeout(WorkerError, TimeoutError): ...


class ProtocolError(WorkerError, ValueError): ...


class MissingExtra(FacegraftError, ImportError): ...


class Cancelled(FacegraftError): ...
