/* Made by install/ofx_header.py from the engine's MergeParams; edit those. */
#ifndef FACEGRAFT_ROWS_H
#define FACEGRAFT_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#define FACEGRAFT_VERSION "0.1.0"
#define FACEGRAFT_PROTOCOL 2
#define FACEGRAFT_MAX_MESSAGE 1048576
#define FACEGRAFT_TABLE_DIGEST "af466dccf418cf04"

enum kind { KIND_BOOL, KIND_INT, KIND_DOUBLE, KIND_CHOICE, KIND_POINT, KIND_TEXT, KIND_FILE, KIND_FOLDER };

struct row {
    const char *id, *label, *hint, *group;
    enum kind kind;
    double preset, low, high, soft_low, soft_high; /* preset of a choice: its index */
    const char *text;                              /* preset of a text */
    const char *const *choices;                    /* ends with NULL */
    bool animates, is_merge;
};

enum { ROW_MODEL, ROW_SEGMENTER, ROW_ENHANCER, ROW_RECOGNITION, ROW_INPUT_COLOR, ROW_FACE_CHOICE, ROW_FACE_NUMBER, ROW_FACE_POINT, ROW_FACE_REFERENCE, ROW_LIKENESS, ROW_FACESET, ROW_FRAME_NAME, ROW_FRAME_OFFSET, ROW_FITS, ROW_MASK_USE, ROW_OUTPUT, ROW_ON_ERROR, ROW_MIX, ROW_MODE, ROW_HIST_MATCH_MASKED, ROW_HIST_MATCH_THRESHOLD, ROW_FACE_SCALE, ROW_FACE_OFFSET_X, ROW_FACE_OFFSET_Y, ROW_FACE_ROTATION, ROW_COLOR_TRANSFER, ROW_COLOR_TRANSFER_AMOUNT, ROW_LIGHT_MATCH, ROW_LIGHT_SIZE, ROW_SMOOTH_COLOR, ROW_MASK_MODE, ROW_ERODE, ROW_BLUR, ROW_FEATHER_TOP, ROW_FEATHER_BOTTOM, ROW_FEATHER_LEFT, ROW_FEATHER_RIGHT, ROW_SMOOTH_MASK, ROW_SUPER_RESOLUTION, ROW_SHARPEN_MODE, ROW_SHARPEN_AMOUNT, ROW_DENOISE, ROW_BICUBIC_DEGRADE, ROW_COLOR_DEGRADE, ROW_MOTION_BLUR, ROW_GRAIN, ROW_FACE_TYPE, ROW_MORPH_VALUE, ROW_COUNT };

enum { INPUT_COLOR_AUTO, INPUT_COLOR_DISPLAY, INPUT_COLOR_SCENE_LINEAR, INPUT_COLOR_LINEAR_REC2020, INPUT_COLOR_ACESCG, INPUT_COLOR_ACES2065_1, INPUT_COLOR_REC2100_PQ, INPUT_COLOR_REC2100_HLG };
enum { FACE_CHOICE_ALL, FACE_CHOICE_LARGEST, FACE_CHOICE_NEAR, FACE_CHOICE_TRACK, FACE_CHOICE_LEFT, FACE_CHOICE_LIKE };
enum { MASK_USE_LIMIT, MASK_USE_KEEP_OUT, MASK_USE_OFF };
enum { OUTPUT_RESULT, OUTPUT_MATTE, OUTPUT_FACE, OUTPUT_SOURCE_WITH_MATTE };
enum { ON_ERROR_FAIL, ON_ERROR_PASS_THROUGH, ON_ERROR_MARK };
enum { MODE_ORIGINAL = 0, MASK_MODE_HOST = 10 };
static const char *const CHOICES_input_color[] = {"auto", "display", "scene_linear", "linear_rec2020", "acescg", "aces2065_1", "rec2100_pq", "rec2100_hlg", NULL};
static const char *const CHOICES_face_choice[] = {"all", "largest", "near", "track", "left", "like", NULL};
static const char *const CHOICES_mask_use[] = {"limit", "keep_out", "off", NULL};
static const char *const CHOICES_output[] = {"result", "matte", "face", "source_with_matte", NULL};
static const char *const CHOICES_on_error[] = {"fail", "pass_through", "mark", NULL};
static const char *const CHOICES_mode[] = {"original", "overlay", "hist_match", "seamless", "seamless_hist_match", "raw_rgb", "raw_predict", NULL};
static const char *const CHOICES_color_transfer[] = {"none", "rct", "lct", "mkl", "mkl_m", "idt", "idt_m", "sot_m", "mix_m", NULL};
static const char *const CHOICES_mask_mode[] = {"full", "hull", "learned_prd", "learned_dst", "learned_product", "learned_sum", "xseg_prd", "xseg_dst", "xseg_product", "all_product", "host", NULL};
static const char *const CHOICES_sharpen_mode[] = {"none", "box", "gaussian", NULL};
static const char *const CHOICES_face_type[] = {"auto", "half", "mid_full", "full", "whole_face", "head", NULL};

static const char *const GROUPS[] = {"Model", "Face", "Mask", "Output", "Merge", "Placement", "Color", "Detail", NULL};

static const struct row ROWS[ROW_COUNT] = {
    {"model", "Model", "The .dfm file to swap with; empty leaves the picture", "Model", KIND_FILE,
     0, 0, 0, 0, 0, "", NULL, false, false},
    {"segmenter", "Segmenter", "XSeg or another mask network (.onnx), for the xseg mask modes", "Model", KIND_FILE,
     0, 0, 0, 0, 0, "", NULL, false, false},
    {"enhancer", "Enhancer", "Super resolution network (.onnx), for the row Super resolution", "Model", KIND_FILE,
     0, 0, 0, 0, 0, "", NULL, false, false},
    {"recognition", "Recognition", "Face recognition network (.onnx, ArcFace kind), for the faces like a reference picture", "Model", KIND_FILE,
     0, 0, 0, 0, 0, "", NULL, false, false},
    {"input_color", "Input color", "What the pixels are; auto takes a host's word for it (OpenFX 1.5's colour management), else float of Nuke and Natron for scene_linear (Rec. 709 primaries) and everything else for display", "Model", KIND_CHOICE,
     0, 0, 0, 0, 0, NULL, CHOICES_input_color, false, false},
    {"face_choice", "Faces", "Which faces are swapped: all, the largest ones, the one nearest to the point, those of a track of the faceset, by place from the left, or those like the reference picture", "Face", KIND_CHOICE,
     0, 0, 0, 0, 0, NULL, CHOICES_face_choice, true, false},
    {"face_number", "Face number", "With largest: how many; with track: the track's number; with left: the place, from 1", "Face", KIND_INT,
     1, 0, 9999, 0, 10, NULL, NULL, true, false},
    {"face_point", "Face point", "With near: the face nearest to this point of the picture", "Face", KIND_POINT,
     0, 0, 0, 0, 0, NULL, NULL, true, false},
    {"face_reference", "Face reference", "With like: a picture of the person to be swapped, or a folder of them; needs Recognition", "Face", KIND_FILE,
     0, 0, 0, 0, 0, "", NULL, false, false},
    {"likeness", "Likeness", "With like: least cosine similarity of a face to the reference", "Face", KIND_DOUBLE,
     0.35, -1, 1, 0, 1, NULL, NULL, true, false},
    {"faceset", "Faceset", "Faces as `facegraft extract` found and followed them; empty searches each frame by itself", "Face", KIND_FOLDER,
     0, 0, 0, 0, 0, "", NULL, false, false},
    {"frame_name", "Frame name", "Name of a frame in the faceset: its image's name without suffix, with # for each digit of the number; ###### for a movie", "Face", KIND_TEXT,
     0, 0, 0, 0, 0, "######", NULL, false, false},
    {"frame_offset", "Frame offset", "Added to the host's frame number to get the faceset's", "Face", KIND_INT,
     0, -1000000, 1000000, -1000, 1000, NULL, NULL, false, false},
    {"fits", "Fits", "What Blender's Fit Steady wrote of this clip and faceset: color and mask of each frame, for Steady color and Steady mask", "Face", KIND_FILE,
     0, 0, 0, 0, 0, "", NULL, false, false},
    {"mask_use", "Mask input", "What a connected mask does: limit the swap to it, keep the swap out of it, or nothing; mask mode host takes it as the face's mask instead", "Mask", KIND_CHOICE,
     0, 0, 0, 0, 0, NULL, CHOICES_mask_use, true, false},
    {"output", "Output", "The result; the matte as grey; the swapped face alone, premultiplied by its matte; or the source with the matte as its alpha", "Output", KIND_CHOICE,
     0, 0, 0, 0, 0, NULL, CHOICES_output, false, false},
    {"on_error", "On error", "What a frame that could not be swapped does, beside the message: stop the render, show the source, or show it with a red border", "Output", KIND_CHOICE,
     0, 0, 0, 0, 0, NULL, CHOICES_on_error, false, false},
    {"mix", "Mix", "How much of the swap shows; 0 gives the source back exactly", "Output", KIND_DOUBLE,
     1, 0, 1, 0, 1, NULL, NULL, true, true},
    {"mode", "Mode", "Overlay lays the face on; hist match fits its histogram to the frame first; seamless keeps its gradients and takes the frame's light, and can match histograms after; raw rgb pastes the whole square, raw predict gives the network's picture alone; original leaves the frame and gives only the matte", "Merge", KIND_CHOICE,
     1, 0, 1, 0, 1, NULL, CHOICES_mode, true, true},
    {"hist_match_masked", "Masked hist match", "Match histograms inside the mask only, in mode hist match", "Merge", KIND_BOOL,
     1, 0, 1, 0, 1, NULL, NULL, true, true},
    {"hist_match_threshold", "Hist match threshold", "Lower values hold back highlights in the two hist match modes; 255 matches all", "Merge", KIND_INT,
     255, 0, 255, 0, 255, NULL, NULL, true, true},
    {"face_scale", "Face scale", "Size of the pasted face; positive enlarges it (percent)", "Placement", KIND_DOUBLE,
     0, -50, 50, -50, 50, NULL, NULL, true, true},
    {"face_offset_x", "Face offset X", "Move the pasted face along its own width; positive to the picture's right of an upright face (permille of the face square)", "Placement", KIND_DOUBLE,
     0, -500, 500, -100, 100, NULL, NULL, true, true},
    {"face_offset_y", "Face offset Y", "Move the pasted face along its own height; positive towards the chin (permille of the face square)", "Placement", KIND_DOUBLE,
     0, -500, 500, -100, 100, NULL, NULL, true, true},
    {"face_rotation", "Face rotation", "Turn the pasted face about its square's centre; positive is clockwise (degrees)", "Placement", KIND_DOUBLE,
     0, -180, 180, -15, 15, NULL, NULL, true, true},
    {"color_transfer", "Transfer mode", "Fit the face's colour to the frame: rct matches mean and spread in Lab, lct and mkl a linear map in RGB, idt, sot and mix whole distributions; -m counts the mask only", "Color", KIND_CHOICE,
     1, 0, 1, 0, 1, NULL, CHOICES_color_transfer, true, true},
    {"color_transfer_amount", "Transfer amount", "How far the colour transfer goes; 0 keeps the network's colours", "Color", KIND_DOUBLE,
     1, 0, 1, 0, 1, NULL, NULL, true, true},
    {"light_match", "Light match", "Take the frame's light, all that is softer than the light size, and keep the face's own detail", "Color", KIND_DOUBLE,
     0, 0, 1, 0, 1, NULL, NULL, true, true},
    {"light_size", "Light size", "Detail smaller than this is the face's own, shading larger than this the frame's (permille of the face square)", "Color", KIND_DOUBLE,
     80, 5, 500, 20, 200, NULL, NULL, true, true},
    {"smooth_color", "Steady color", "Average the colour fit over this time to either side, against something that passes before the face; leave it at 0 where the clip's exposure flickers. A node needs the clip fitted first (frames)", "Color", KIND_DOUBLE,
     0, 0, 100, 0, 25, NULL, NULL, false, true},
    {"mask_mode", "Mask mode", "Full square, hull of the landmarks, the mask predicted with the face (prd), the one predicted for the footage (dst), their product or sum; xseg masks need an XSeg model; all product is learned times xseg; host takes the matte given beside the clip", "Mask", KIND_CHOICE,
     4, 0, 1, 0, 1, NULL, CHOICES_mask_mode, true, true},
    {"erode", "Erode", "Shrink the mask; negative grows it (permille of the face square)", "Mask", KIND_DOUBLE,
     0, -400, 400, -100, 100, NULL, NULL, true, true},
    {"blur", "Blur", "Soften the mask's edge, fading out inside the square (permille of the face square)", "Mask", KIND_DOUBLE,
     0, 0, 400, 0, 200, NULL, NULL, true, true},
    {"feather_top", "Feather top", "Fade the mask in from its upper edge, over the forehead (permille of the face square)", "Mask", KIND_DOUBLE,
     0, 0, 500, 0, 200, NULL, NULL, true, true},
    {"feather_bottom", "Feather bottom", "Fade the mask in from its lower edge, under the chin (permille of the face square)", "Mask", KIND_DOUBLE,
     0, 0, 500, 0, 200, NULL, NULL, true, true},
    {"feather_left", "Feather left", "Fade the mask in from its left edge in the picture of an upright face (permille of the face square)", "Mask", KIND_DOUBLE,
     0, 0, 500, 0, 200, NULL, NULL, true, true},
    {"feather_right", "Feather right", "Fade the mask in from its right edge in the picture of an upright face (permille of the face square)", "Mask", KIND_DOUBLE,
     0, 0, 500, 0, 200, NULL, NULL, true, true},
    {"smooth_mask", "Steady mask", "Average the mask over this time to either side, following the face; a node needs the clip fitted first (frames)", "Mask", KIND_DOUBLE,
     0, 0, 100, 0, 10, NULL, NULL, false, true},
    {"super_resolution", "Super resolution", "How much of an enhancer's picture shows in the face; needs an enhancer model (percent)", "Detail", KIND_DOUBLE,
     0, 0, 100, 0, 100, NULL, NULL, true, true},
    {"sharpen_mode", "Sharpen mode", "Box or gaussian; a negative amount softens with a median instead", "Detail", KIND_CHOICE,
     0, 0, 1, 0, 1, NULL, CHOICES_sharpen_mode, true, true},
    {"sharpen_amount", "Sharpen amount", "Strength of sharpening; negative softens", "Detail", KIND_DOUBLE,
     0, -100, 100, -50, 20, NULL, NULL, true, true},
    {"denoise", "Denoise", "Median over the face, repeatedly, as many rounds as its hundreds", "Detail", KIND_DOUBLE,
     0, 0, 500, 0, 500, NULL, NULL, true, true},
    {"bicubic_degrade", "Bicubic degrade", "Shrink the face and enlarge it again, to the softness of poor footage (percent)", "Detail", KIND_DOUBLE,
     0, 0, 100, 0, 100, NULL, NULL, true, true},
    {"color_degrade", "Color degrade", "Reduce the face to a palette of 256 colours, to the banding of poor footage (percent)", "Detail", KIND_DOUBLE,
     0, 0, 100, 0, 100, NULL, NULL, true, true},
    {"motion_blur", "Motion blur", "Blur the face along its own motion; 100 is an exposure as long as the frame (percent)", "Detail", KIND_DOUBLE,
     0, 0, 100, 0, 100, NULL, NULL, true, true},
    {"grain", "Grain match", "Add the frame's own grain to the face, measured around it", "Detail", KIND_DOUBLE,
     0, 0, 2, 0, 1, NULL, NULL, true, true},
    {"face_type", "Face type", "Framing the model was trained with; auto reads it from the model, and takes whole face where the model does not say", "Model", KIND_CHOICE,
     0, 0, 1, 0, 1, NULL, CHOICES_face_type, false, true},
    {"morph_value", "Morph", "Identity between dst (0) and src (1), for models with a morph input", "Model", KIND_DOUBLE,
     0.75, 0, 1, 0, 1, NULL, NULL, true, true},
};

#endif
